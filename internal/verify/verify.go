// Package verify checks whole logs: every entry and link, every log against the
// checkpoints that were kept elsewhere, and every successor against the log it
// continues. It believes nothing of what the store says about itself.
package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/report"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Deps are where entries and checkpoints are.
type Deps struct {
	Store *store.Store
	Vault *vault.Vault
}

// Options say what to check.
type Options struct {
	Log  string         // only this one; empty: all
	Deep bool           // also the columns and ciphertexts beside the entries
	Keys note.Verifiers // whose signatures count
	// Pinned are signed checkpoints that were kept elsewhere. One without a signature of Keys is an error.
	Pinned [][]byte
	// Progress is called now and then with the number of entries checked since its last call. It must be safe for
	// concurrent use. May be nil.
	Progress func(entries uint64)
}

// Report is the answer.
type Report = report.Report

// LogReport is the answer about one log. It has 100 notes at most.
type LogReport = report.Log

// Bad is the first place where a log is not what it must be.
type Bad = report.Bad

// Note is about an entry that is good by itself.
type Note = report.Note

// Run checks the logs. A bad log is not an error, but the answer; an error means that it could not be found out.
func Run(ctx context.Context, deps Deps, o Options) (Report, error) {
	if o.Keys == nil {
		return Report{}, errors.New("verify: there is no key whose signatures count")
	}
	// Checkpoints are read before entries, so that logs which grow meanwhile only have more than is asked for.
	known, err := gather(ctx, deps)
	if err != nil {
		return Report{}, err
	}
	if err := known.pin(o); err != nil {
		return Report{}, err
	}
	names := known.logs()
	if o.Log != "" {
		if !slices.Contains(names, o.Log) {
			return Report{}, fmt.Errorf("there is no log %s; there are: %s", o.Log, strings.Join(names, ", "))
		}
		names = []string{o.Log}
	}
	reports := make([]LogReport, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		group.Go(func() (err error) { // ends with the log or ctx
			reports[i], err = checkLogAgain(ctx, deps, o, known, name)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return Report{}, err
	}
	return report.Of(reports), nil
}

// checkLogAgain checks a log, and once more if it is bad and retention was at work meanwhile: entries that go while they are read look like deleted ones.
func checkLogAgain(ctx context.Context, deps Deps, o Options, known *knowledge, log string) (LogReport, error) {
	answer, err := checkLog(ctx, deps, o, known, log)
	if err != nil || answer.FirstBad == nil {
		return answer, err
	}
	now, err := gather(ctx, deps)
	if err != nil || len(now.pruned[log]) == len(known.pruned[log]) {
		return answer, err
	}
	if err := now.pin(o); err != nil {
		return LogReport{}, err
	}
	return checkLog(ctx, deps, o, now, log)
}

// anchor is what something outside of a log says about its first size entries.
type anchor struct {
	size uint64
	leaf *chain.Hash // of the last of them; nil: it does not say
	root *chain.Hash // of the tree over them; nil: it does not say
	by   string      // who says so, for the reason
	kept bool        // it was signed, so the vault's checkpoint was once as far
}

// knowledge is what is known about the logs before their entries are read.
type knowledge struct {
	deployment  string
	checkpoints map[string]vault.Checkpoint // by log
	stored      []string
	anchors     map[string][]anchor
	generations map[string]vault.Generation
	authors     map[string]vault.Author
	pruned      map[string][]vault.Prune // by log
}

func gather(ctx context.Context, deps Deps) (*knowledge, error) {
	k := &knowledge{
		deployment:  deps.Vault.Deployment(),
		checkpoints: make(map[string]vault.Checkpoint),
		anchors:     make(map[string][]anchor),
		generations: make(map[string]vault.Generation),
		authors:     make(map[string]vault.Author),
		pruned:      make(map[string][]vault.Prune),
	}
	checkpoints, err := deps.Vault.Checkpoints(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the vault's checkpoints: %w", err)
	}
	for _, c := range checkpoints {
		k.checkpoints[c.Log] = c
		k.anchors[c.Log] = append(k.anchors[c.Log], anchor{size: c.Size, leaf: &c.Head, root: &c.Root, by: "the vault's checkpoint"})
	}
	generations, err := deps.Vault.Generations(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the vault's list of reopened logs: %w", err)
	}
	for _, g := range generations {
		k.generations[g.Log] = g
		k.anchors[g.Predecessor] = append(k.anchors[g.Predecessor], anchor{size: g.PredecessorSize, leaf: &g.PredecessorHead, by: "the checkpoint that " + g.Log + " continues"})
	}
	prunes, err := deps.Vault.Prunes(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the vault's prune records: %w", err)
	}
	for _, p := range prunes {
		k.pruned[p.Log] = append(k.pruned[p.Log], p)
	}
	authors, err := deps.Vault.Authors(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the authors of system records: %w", err)
	}
	for _, a := range authors {
		k.authors[a.Name] = a
	}
	if k.stored, err = deps.Store.Logs(ctx); err != nil {
		return nil, fmt.Errorf("list the logs: %w", err)
	}
	for _, log := range k.stored {
		if err := k.followOpening(ctx, deps, log); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// followOpening takes what a successor's first entry says about its predecessor. An entry that cannot be read is
// found again, and reported, when its own log is checked.
func (k *knowledge) followOpening(ctx context.Context, deps Deps, log string) error {
	var fault *chain.Fault
	entry, err := deps.Store.EntryAt(ctx, log, 0)
	if errors.As(err, &fault) || errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the opening of %s: %w", log, err)
	}
	open, err := chain.ParseOpening(entry)
	if err != nil || open.Predecessor == nil {
		return nil //nolint:nilerr // as above
	}
	p := open.Predecessor
	k.anchors[p.Log] = append(k.anchors[p.Log], anchor{size: p.Size, leaf: &p.Head, by: "the opening of " + log})
	return nil
}

// logs are all logs that the store has or that something says it must have, in order.
func (k *knowledge) logs() []string {
	names := make(map[string]bool)
	for _, log := range k.stored {
		names[log] = true
	}
	for log, anchors := range k.anchors {
		for _, a := range anchors {
			names[log] = names[log] || a.size > 0
		}
	}
	maps.DeleteFunc(names, func(_ string, there bool) bool { return !there })
	return slices.Sorted(maps.Keys(names))
}

// pin adds what checkpoints say that were kept elsewhere.
func (k *knowledge) pin(o Options) error {
	for i, signed := range o.Pinned {
		point, _, err := chain.OpenCheckpoint(signed, o.Keys)
		if err != nil {
			return fmt.Errorf("checkpoint %d of those given: %w", i+1, err)
		}
		if point.Deployment != k.deployment {
			return fmt.Errorf("checkpoint %d of those given is of deployment %s, this is %s", i+1, point.Deployment, k.deployment)
		}
		k.anchors[point.Log] = append(k.anchors[point.Log], anchor{size: point.Size, root: &point.Root, by: "a checkpoint that was kept", kept: true})
	}
	return nil
}
