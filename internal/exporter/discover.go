package exporter

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
)

// changes tells followers that the table has changed. Looking at each log in turn would keep ClickHouse busy with nothing: one query that costs a few
// milliseconds for each log, twice a second.
type changes struct {
	mu   sync.Mutex
	next chan struct{} // closed at the next change
}

func newChanges() *changes { return &changes{next: make(chan struct{})} }

// after returns a channel that is closed at the first change from now on.
func (c *changes) after() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

func (c *changes) announce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.next)
	c.next = make(chan struct{})
}

// watch looks for changes of the table every PollEvery until ctx ends. At a change it starts a follower, in group, for each log that is new, and wakes those
// that wait.
func (e *Exporter) watch(ctx context.Context, group *errgroup.Group) error {
	d := discovery{exporter: e, group: group, known: map[string]bool{}}
	wait := newBackoff()
	failing := false
	for {
		pause := e.cfg.PollEvery
		err := d.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			if !failing {
				e.failing("the table of entries cannot be watched, trying again", err)
			}
			failing = true
			pause = wait.NextBackOff()
		default:
			failing = false
			wait.Reset()
		}
		if sleep(ctx, pause) != nil {
			return nil
		}
	}
}

// discovery is the state of watch.
type discovery struct {
	exporter *Exporter
	group    *errgroup.Group
	known    map[string]bool // logs that have, or had, a follower
	looked   bool            // once without an error
	state    uint64          // of the table at that time
	locked   bool            // it was known what was published by then
}

func (d *discovery) look(ctx context.Context) error {
	e := d.exporter
	// Read before anything else: what changes from here on shows the next time.
	state, err := e.deps.Store.TableState(ctx)
	if err != nil {
		return err
	}
	locked := e.lock.isReady()
	if d.looked && state == d.state && locked == d.locked {
		e.metrics.seals.unchanged()
		return nil
	}
	logs, err := d.logs(ctx, locked)
	if err != nil {
		return err
	}
	e.metrics.seals.changed()
	e.changes.announce()
	for _, log := range logs {
		if d.known[log] {
			continue
		}
		d.known[log] = true
		e.metrics.seals.found(log)
		d.group.Go(func() error { return e.followLog(ctx, log) }) // ends with ctx or when the log is found bad
	}
	d.looked, d.state, d.locked = true, state, locked
	return nil
}

// logs returns the logs of ClickHouse, those of the vault, and, if it is known, those that were published and that the vault has forgotten: a log of which a
// checkpoint is there but no entry has to be noticed. Names may repeat.
func (d *discovery) logs(ctx context.Context, locked bool) ([]string, error) {
	// The first time every log is looked for, later new ones, which show by their entry 0: that costs nothing however long the logs are.
	list := d.exporter.deps.Store.Logs
	if d.looked {
		list = d.exporter.deps.Store.OpenedLogs
	}
	logs, err := list(ctx)
	if err != nil {
		return nil, err
	}
	checkpoints, err := d.exporter.deps.Vault.Checkpoints(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range checkpoints {
		logs = append(logs, c.Log)
	}
	if locked {
		for log := range d.exporter.lock.highest {
			logs = append(logs, log)
		}
	}
	return logs, nil
}
