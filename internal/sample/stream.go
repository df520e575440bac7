package sample

import (
	"context"
	"time"

	"github.com/agentaudit/agentaudit/pkg/events"
)

// Emitter takes events; *events.Emitter is one.
type Emitter interface {
	Emit(ctx context.Context, r *events.Record) error
}

// Stream emits the generator's events in real time until ctx ends, which is no
// error, or one is refused. What lies in the past when it begins is sent at once:
// a Start some hours ago gives that much history. The emitter should wait when it
// is full.
func (g *Generator) Stream(ctx context.Context, to Emitter) error {
	var r events.Record
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		g.Next(&r)
		if wait := time.Until(r.Time); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return nil
			}
		}
		if err := to.Emit(ctx, &r); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
	return nil
}
