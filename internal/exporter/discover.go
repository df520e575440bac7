package exporter

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// followAll starts a follower, in group, for each log that it finds: in ClickHouse, and in the vault, because a log of which a checkpoint is there but no
// entry has to be noticed.
func (e *Exporter) followAll(ctx context.Context, group *errgroup.Group) error {
	known := map[string]bool{}
	wait := newBackoff()
	// The first time every log is looked for, later new ones, which show by their entry 0: that costs nothing however long the logs are.
	list := e.deps.Store.Logs
	for {
		pause := e.cfg.PollEvery
		logs, err := e.findLogs(ctx, list)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			e.failing("logs cannot be listed, trying again", err)
			pause = wait.NextBackOff()
		default:
			list = e.deps.Store.OpenedLogs
			wait.Reset()
		}
		for _, log := range logs {
			if known[log] {
				continue
			}
			known[log] = true
			e.metrics.seals.found(log)
			group.Go(func() error { return e.followLog(ctx, log) }) // ends with ctx or when the log is found bad
		}
		if sleep(ctx, pause) != nil {
			return nil
		}
	}
}

// findLogs returns names that may repeat.
func (e *Exporter) findLogs(ctx context.Context, list func(context.Context) ([]string, error)) ([]string, error) {
	logs, err := list(ctx)
	if err != nil {
		return nil, err
	}
	checkpoints, err := e.deps.Vault.Checkpoints(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range checkpoints {
		logs = append(logs, c.Log)
	}
	return logs, nil
}
