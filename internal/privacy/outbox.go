package privacy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/agentaudit/agentaudit/internal/systemlog"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Changes that people make are noted in the vault's outbox in the transaction of the change, and said in the log by whichever exporter reads it first: a crash
// between the two loses neither, and a command does not wait for Kafka.

// remark is what the log is to say. It names no person: entries stay.
type remark struct {
	Type       string            `json:"type"`
	Action     string            `json:"action"`
	Outcome    events.Outcome    `json:"outcome"`
	Attributes map[string]string `json:"attributes"`
}

// saying makes a remark ready for the outbox. It fails if the remark could not stand in the log, for example because a reason is too long.
func (r remark) saying(id events.UUID, at time.Time) (vault.Saying, error) {
	record := r.record(id, at)
	record.Tenant = systemlog.Tenant
	if _, err := record.AppendJSON(nil); err != nil {
		return vault.Saying{}, fmt.Errorf("this cannot stand in the log: %w", err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		return vault.Saying{}, err
	}
	return vault.Saying{EventID: [16]byte(id), At: at, Record: string(text)}, nil
}

func (r remark) record(id events.UUID, at time.Time) events.Record {
	return events.Record{EventID: id, Time: at, Type: r.Type, Action: r.Action, Outcome: r.Outcome, Attributes: r.Attributes}
}

// notable are the types of records that changes are noted by. What destroys or drops something is never said from here: whoever may write to the vault could
// have it signed.
var notable = []string{typeRequest, typeHold, typeConsent, typeRestriction, typeBreach, typeAPIKey, typeRead, typeReveal, typeChange}

// sealedBefore bounds the wait for what was noted before.
const sealedBefore = time.Minute

// sayAtOnce bounds what is sent to Kafka together.
const sayAtOnce = 500

// speak says what is in the outbox until ctx ends.
func (w *Worker) speak(ctx context.Context) error {
	for {
		pause := pollEvery
		said, err := w.sayNoted(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			w.deps.Log.Warn("what was changed cannot be said in the log, trying again", "error", err)
			pause = retryAfter
		case said == sayAtOnce:
			pause = 0
		}
		if sleepUntil(ctx, time.Now().Add(pause)) != nil {
			return nil
		}
	}
}

// awaitNoted waits until everything stands in the log that was noted before now: what a request goes on with comes after how it began. It helps, since whoever
// says it otherwise may be gone.
func (w *Worker) awaitNoted(ctx context.Context) error {
	now := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, sealedBefore, systemlog.ErrNotSealed)
	defer cancel()
	for {
		if unsaid, err := w.deps.Vault.Unsaid(ctx, now); err != nil || !unsaid {
			return err
		}
		if _, err := w.sayNoted(ctx); err != nil {
			return err
		}
		if err := sleepUntil(ctx, time.Now().Add(50*time.Millisecond)); err != nil {
			return err
		}
	}
}

// sayNoted says the earliest part of the outbox, and returns how much.
func (w *Worker) sayNoted(ctx context.Context) (int, error) {
	now := time.Now()
	noted, err := w.deps.Vault.ClaimUnsaid(ctx, sayAtOnce, now, now.Add(w.claimFor))
	if err != nil || len(noted) == 0 {
		return 0, err
	}
	// Longer than the claim lasts, another process may say it too.
	bounded, cancel := context.WithTimeoutCause(ctx, w.claimFor/2, systemlog.ErrNotSealed)
	defer cancel()
	records := make([]events.Record, 0, len(noted))
	for _, n := range noted {
		var r remark
		if err := json.Unmarshal([]byte(n.Record), &r); err != nil || !slices.Contains(notable, r.Type) {
			// Somebody who may write to the vault has written it. It is left out, so that it does not keep what is behind it.
			w.deps.Log.Error("the vault's outbox has a record that no process of ours has noted; it is not said", "record", gdpr.SubjectID(n.EventID))
			continue
		}
		records = append(records, r.record(events.UUID(n.EventID), n.At))
	}
	if _, err := w.speaker.SayAll(bounded, records); err != nil {
		return 0, err
	}
	return len(noted), w.deps.Vault.Said(ctx, noted)
}
