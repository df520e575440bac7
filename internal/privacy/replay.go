package privacy

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// AwaitReplay runs Replay until it succeeds or ctx ends. Before that nobody may be sealed or shown.
func (w *Worker) AwaitReplay(ctx context.Context) error {
	if w.deps.Author != nil {
		// First: of an author whom a restored vault does not know nothing is believed, and nobody would be erased again.
		if err := w.register(ctx); err != nil {
			return err
		}
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, 5*time.Second
	for {
		err := w.Replay(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		w.deps.Log.Warn("erasures that stand in the log cannot be compared with the vault, trying again", "error", err)
		if err := sleepUntil(ctx, time.Now().Add(wait.NextBackOff())); err != nil {
			return err
		}
	}
}

// Replay brings a vault that was restored from a backup up to date with what the log says: whose data must not be destroyed, who was erased, whose data is
// restricted, what was said about consents, and which API keys were revoked. What was not signed by one of our own processes changes nothing, whatever it says.
func (w *Worker) Replay(ctx context.Context) error {
	known, err := w.authors(ctx)
	if err != nil {
		return err
	}
	if err := w.holdAgain(ctx, known); err != nil {
		return err
	}
	if err := w.eraseAgain(ctx, known); err != nil {
		return err
	}
	if err := w.restrictAgain(ctx, known); err != nil {
		return err
	}
	if err := w.consentAgain(ctx, known); err != nil {
		return err
	}
	return w.revokeAgain(ctx, known)
}

// eraseAgain erases whoever stands in the log as erased and is in the vault.
func (w *Worker) eraseAgain(ctx context.Context, known map[string]vault.Author) error {
	erasures, err := w.erasures(ctx, known)
	if err != nil || len(erasures) == 0 {
		return err
	}
	ids := make([]gdpr.SubjectID, 0, len(erasures))
	for id := range erasures {
		ids = append(ids, id)
	}
	back, err := w.deps.Vault.Exist(ctx, ids)
	if err != nil || len(back) == 0 {
		return err
	}
	w.deps.Log.Warn("the vault knows people who were erased: it was restored from a backup; they are erased again", "people", len(back))
	names, err := w.deps.Vault.Identify(ctx, back)
	if err != nil {
		return err
	}
	for _, id := range back {
		// The request itself may be open in the backup as well; it is done.
		if who, ok := names[id]; ok {
			if err := w.endRequestsOf(ctx, who, [16]byte{}); err != nil {
				return err
			}
		}
		suppression, err := w.suppression(ctx, &vault.Request{Options: "{}"})
		if err != nil {
			return err
		}
		suppression.Forever = erasures[id].forever
		if _, _, err := w.deps.Vault.Erase(ctx, vault.Erasure{
			Request: erasures[id].request, Subject: id, Suppression: suppression, At: time.Now(), Replayed: true,
		}); err != nil {
			return err
		}
	}
	// Caches of other processes may still have them.
	return sleepUntil(ctx, time.Now().Add(w.cfg.Lease))
}

// saidErasure is what the log says of an erasure.
type saidErasure struct {
	request [16]byte
	forever bool // nothing of the person is ever to be kept again
}

// erasures reads whom the log says to be erased. A record that one of our processes has signed and that names nobody, because of a mistake in a version of ours or
// because somebody had the author's key, is skipped and shown: it can order nothing. To wait for it would be no safer: it stands in the log for ever, so nobody would
// ever be sealed or shown again, while all others who were erased are known. Whoever it was meant to name may be back in a restored vault: that is what the error in
// the log and the gauge are for. One that names whom it is about counts, whatever else in it cannot be read.
func (w *Worker) erasures(ctx context.Context, known map[string]vault.Author) (map[gdpr.SubjectID]saidErasure, error) {
	found := map[gdpr.SubjectID]saidErasure{}
	unreadable := 0
	var entry chain.Entry
	err := w.deps.Store.SystemEntries(ctx, w.cfg.SystemTopic, typeErasure, func(text []byte) error {
		if err := chain.ParseEntry(text, &entry); err != nil {
			w.deps.Log.Warn("an entry that says that somebody was erased is none, and is not believed")
			return nil
		}
		author, ok := known[entry.Author]
		if !ok || !gdpr.VerifySystem(author.Key, entry.Event, entry.Signature) {
			w.deps.Log.Warn("an entry says that somebody was erased, but not by one of our processes; it is not believed", "log", entry.Header.Log, "seq", entry.Header.Seq)
			return nil
		}
		subject, said, err := parseErasure(entry.Event)
		if err != nil {
			unreadable++
			w.deps.Log.Error("an entry that one of our processes has signed says that somebody was erased, and not who; it is skipped: who was it?",
				"log", entry.Header.Log, "seq", entry.Header.Seq, "author", entry.Author, "error", err)
			return nil
		}
		said.forever = said.forever || found[subject].forever
		found[subject] = said
		return nil
	})
	if err == nil {
		w.unreadable.Set(float64(unreadable))
	}
	return found, err
}

// parseErasure reads what sayErased has written. Errors quote nothing of it. Without a request that can be read the erasure has one of its own, the same each time.
func parseErasure(record []byte) (subject gdpr.SubjectID, erasure saidErasure, err error) {
	var said struct {
		Type       string `json:"type"`
		Attributes struct {
			Request  string `json:"request"`
			Subject  string `json:"subject"`
			Suppress string `json:"suppress"`
		} `json:"attributes"`
	}
	if err := json.Unmarshal(record, &said); err != nil {
		return subject, saidErasure{}, errors.New("a record of an erasure is not of its form")
	}
	id, err := uuid.Parse(said.Attributes.Subject)
	if err != nil || id == (uuid.UUID{}) || said.Type != typeErasure {
		return subject, saidErasure{}, errors.New("a record of an erasure names no subject")
	}
	by, err := uuid.Parse(said.Attributes.Request)
	if err != nil {
		by = uuid.UUID(stepID(id, typeErasure))
	}
	return gdpr.SubjectID(id), saidErasure{request: by, forever: said.Attributes.Suppress == suppressForever}, nil
}
