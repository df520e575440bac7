package privacy

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// eachSigned calls fn with the records of a type that one of our own processes has signed, in no order.
func (w *Worker) eachSigned(ctx context.Context, known map[string]vault.Author, recordType string, fn func(record []byte) error) error {
	var entry chain.Entry
	return w.deps.Store.SystemEntries(ctx, w.cfg.SystemTopic, recordType, func(text []byte) error {
		if chain.ParseEntry(text, &entry) != nil {
			return nil
		}
		if author, ok := known[entry.Author]; !ok || !gdpr.VerifySystem(author.Key, entry.Event, entry.Signature) {
			return nil
		}
		return fn(entry.Event)
	})
}

// holdAgain orders the legal holds again that a restored vault has lost, and lifts those that were lifted since. Both may be done twice: a hold is ordered once
// and lifted once. A hold that names nobody who is there harms nobody.
func (w *Worker) holdAgain(ctx context.Context, known map[string]vault.Author) error {
	var ordered []vault.Hold
	lifted := map[[16]byte]time.Time{}
	err := w.eachSigned(ctx, known, typeHold, func(record []byte) error {
		var said struct {
			Time       time.Time `json:"time"`
			Action     string    `json:"action"`
			Attributes struct {
				Hold    uuid.UUID `json:"hold"`
				Subject uuid.UUID `json:"subject"`
				Reason  string    `json:"reason"`
				By      string    `json:"by"`
				Expires time.Time `json:"expires"`
			} `json:"attributes"`
		}
		if err := json.Unmarshal(record, &said); err != nil || said.Attributes.Hold == (uuid.UUID{}) {
			return nil //nolint:nilerr // it is no hold
		}
		a := &said.Attributes
		if said.Action == actionLift {
			lifted[a.Hold] = said.Time
		} else if a.Subject != (uuid.UUID{}) && a.Reason != "" && a.By != "" {
			ordered = append(ordered, vault.Hold{ID: a.Hold, Subject: gdpr.SubjectID(a.Subject), Reason: a.Reason, Author: a.By, At: said.Time, Expires: a.Expires})
		}
		return nil
	})
	if err != nil {
		return err
	}
	there := map[[16]byte]bool{}
	// A forged one keeps everybody from being erased until somebody has looked, but nobody from being sealed.
	list, err := w.deps.Vault.GenuineHolds(ctx)
	if err != nil {
		return err
	}
	for i := range list {
		there[list[i].ID] = true
		if at, ok := lifted[list[i].ID]; ok && list[i].Lifted.IsZero() {
			if _, err := w.deps.Vault.LiftHold(ctx, list[i].ID, at); err != nil {
				return err
			}
		}
	}
	lost := 0
	for _, hold := range ordered {
		if _, over := lifted[hold.ID]; over || there[hold.ID] {
			continue
		}
		if err := w.deps.Vault.AddHold(ctx, hold); err != nil {
			return err
		}
		lost++
	}
	if lost > 0 {
		w.deps.Log.Warn("the vault has lost legal holds: it was restored from a backup; they are ordered again", "holds", lost)
	}
	return nil
}

// revokeAgain ends the API keys that were revoked since a restored vault's backup. Keys that were added since are lost: the log does not have what opens.
func (w *Worker) revokeAgain(ctx context.Context, known map[string]vault.Author) error {
	return w.eachSigned(ctx, known, typeAPIKey, func(record []byte) error {
		var said struct {
			Time       time.Time `json:"time"`
			Action     string    `json:"action"`
			Attributes struct {
				Key uuid.UUID `json:"key"`
			} `json:"attributes"`
		}
		if err := json.Unmarshal(record, &said); err != nil || said.Action != "revoke" {
			return nil //nolint:nilerr // nothing was revoked
		}
		revoked, err := w.deps.Vault.RevokeAPIKey(ctx, said.Attributes.Key, said.Time)
		if errors.Is(err, vault.ErrForged) {
			return nil // it counts for nobody as it is
		}
		if revoked {
			w.deps.Log.Warn("the vault knew an API key as good that was revoked: it was restored from a backup", "key", said.Attributes.Key)
		}
		return err
	})
}
