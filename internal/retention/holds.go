package retention

import (
	"context"
	"slices"
	"time"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// holds are the legal holds of one moment. What involves a person who is held stays.
type holds []vault.Hold

func (p *Pruner) activeHolds(ctx context.Context) (holds, error) {
	all, err := p.deps.Vault.Holds(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return slices.DeleteFunc(all, func(h vault.Hold) bool { return !h.Active(now) }), nil
}

// first returns the first entry of a part of a log that involves somebody who is held, and the hold; nil: there is none.
func (h holds) first(ctx context.Context, s *store.Store, part store.Part) (uint64, *vault.Hold, error) {
	if len(h) == 0 || part.From >= part.Behind {
		return 0, nil, nil
	}
	ids := make([]gdpr.SubjectID, len(h))
	for i := range h {
		ids[i] = h[i].Subject
	}
	seq, who, err := s.FirstInvolving(ctx, part, ids)
	if err != nil {
		return 0, nil, err
	}
	for i := range h {
		if slices.Contains(who, h[i].Subject) {
			return seq, &h[i], nil
		}
	}
	return 0, nil, nil
}

// forbidden returns a *vault.HeldError if a hold keeps a part of a log.
func (p *Pruner) forbidden(ctx context.Context, part store.Part) error {
	active, err := p.activeHolds(ctx)
	if err != nil {
		return err
	}
	_, hold, err := active.first(ctx, p.deps.Store, part)
	if err == nil && hold != nil {
		err = &vault.HeldError{Hold: *hold}
	}
	return err
}
