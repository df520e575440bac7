package retention

import (
	"context"
	"errors"
	"time"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Policy says how long logs are kept, in whole months beside the present one. 0: for ever.
type Policy struct {
	EntriesMonths  int
	ContentsMonths int
	// Every is how often there is a look at what has become old.
	Every time.Duration
}

// On says that anything is ever dropped.
func (p Policy) On() bool { return p.EntriesMonths > 0 || p.ContentsMonths > 0 }

// Before returns the first epoch that is kept when months beside the present one are.
func Before(at time.Time, months int) uint32 {
	at = at.UTC()
	return chain.EpochOf(time.Date(at.Year(), at.Month()-time.Month(months), 1, 0, 0, 0, 0, time.UTC))
}

// takeOver is how long another Pruner may be at work on what it has recorded.
const takeOver = 10 * time.Minute

// Run drops what the policy says, at once and then every policy.Every, until ctx ends. What fails is logged and tried again the next time.
func (p *Pruner) Run(ctx context.Context, policy Policy) error {
	tick := time.NewTicker(policy.Every)
	defer tick.Stop()
	// Another Pruner may be at work on what is not finished.
	resume := func(prune vault.Prune) bool { return !prune.Done.IsZero() || time.Since(prune.At) > takeOver }
	for {
		if err := errors.Join(p.resume(ctx, resume), p.apply(ctx, policy)); err != nil && ctx.Err() == nil {
			p.deps.Log.Error("what is old could not be dropped, trying again later", "again_in", policy.Every, "error", err)
		}
		// What is dropped stays so, but for restored backups: those are looked for when a process starts.
		resume = func(prune vault.Prune) bool { return prune.Done.IsZero() && time.Since(prune.At) > takeOver }
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *Pruner) apply(ctx context.Context, policy Policy) error {
	var errs []error
	// Entries first: what goes with its entry need not be emptied before.
	for _, rule := range []struct {
		what   string
		months int
	}{{chain.PrunedEntries, policy.EntriesMonths}, {chain.PrunedContents, policy.ContentsMonths}} {
		if rule.months == 0 {
			continue
		}
		cuts, err := p.Plan(ctx, rule.what, Before(time.Now(), rule.months))
		errs = append(errs, err)
		for _, cut := range cuts {
			if cut.Held != nil {
				p.deps.Log.Warn("a legal hold keeps what is old", "log", cut.Log, "what", cut.What, "from", cut.Behind, "hold", gdpr.SubjectID(cut.Held.ID))
			}
			if cut.Entries == 0 {
				continue
			}
			_, err := p.Prune(ctx, cut, "policy")
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
