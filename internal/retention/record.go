package retention

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/events"
)

const (
	// typePrune is the type of the entry that says what was dropped.
	typePrune = "retention.prune"
	// systemTenant stands in records that belong to no tenant of the deployment.
	systemTenant = "agentaudit"
	// sealedWithin bounds the wait for ingest and exporter, which take about a second.
	sealedWithin = 5 * time.Minute
	// sealedPoll is how often they are asked.
	sealedPoll = 200 * time.Millisecond
)

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func newPrune(cut Cut, signed []byte, reason string) vault.Prune {
	at := now()
	return vault.Prune{Log: cut.Log, What: cut.What, Behind: cut.Behind, Note: string(signed), Record: [16]byte(events.NewUUID(at)), Reason: reason, At: at}
}

// publish has the record of a prune sealed, and waits until a checkpoint covers it: from then on nobody can say that it was never said.
func (p *Pruner) publish(ctx context.Context, prune vault.Prune) error {
	ctx, cancel := context.WithTimeoutCause(ctx, sealedWithin, errNotSealed)
	defer cancel()
	sent := false
	for {
		found, err := p.deps.Store.FindEvents(ctx, store.Filter{EventID: prune.Record, Limit: 1})
		if err != nil {
			return err
		}
		if len(found) == 1 {
			point, _, err := p.deps.Vault.Checkpoint(ctx, found[0].Log)
			if err != nil || point.Size > found[0].Seq {
				return err
			}
		} else if !sent {
			if err := p.send(ctx, prune); err != nil {
				return err
			}
			sent = true
			p.deps.Log.Info("waiting until the record of it is sealed and signed", "topic", p.systemTopic)
		}
		timer := time.NewTimer(sealedPoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

var errNotSealed = errors.New("the record of the prune was not sealed and signed in time: are ingest and exporter running? Nothing was dropped; it goes on when it is run again")

func (p *Pruner) send(ctx context.Context, prune vault.Prune) error {
	record := events.Record{
		EventID: events.UUID(prune.Record), Time: prune.At, Type: typePrune, Action: "prune", Outcome: events.Success, Tenant: systemTenant,
		Agent: events.Agent{ID: p.deps.Author.Name()}, Resource: events.Resource{Type: "log", ID: prune.Log},
		Attributes: map[string]string{"what": prune.What, "behind": strconv.FormatUint(prune.Behind, 10), "reason": prune.Reason, "note": prune.Note},
	}
	text, err := record.AppendJSON(nil)
	if err != nil {
		return fmt.Errorf("make the record of a prune: %w", err)
	}
	return p.deps.Kafka.Produce(ctx, p.systemTopic, []kafkaio.Message{p.deps.Author.Message(text)})
}
