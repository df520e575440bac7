package privacy

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// A vault that was restored from a backup has lost who was restricted since, and who has withdrawn a consent. The log says both, signed: what the vault does not
// know at all is noted again, before anything is shown. What it knows is left as it is: a step may not be said yet, and the vault is ahead of the log.

// saidOf is what the log says of one step.
type saidOf struct {
	eventID  [16]byte
	at       time.Time
	action   string
	subject  gdpr.SubjectID
	request  [16]byte
	purpose  string
	state    gdpr.ConsentState
	consents bool // it says all that a change of a consent says
}

// parseSaid reads what a remark about a person was written from; false if that is not in it.
func parseSaid(record []byte) (s saidOf, ok bool) {
	var said struct {
		EventID    uuid.UUID `json:"event_id"`
		Time       time.Time `json:"time"`
		Action     string    `json:"action"`
		Attributes struct {
			Subject uuid.UUID         `json:"subject"`
			Request uuid.UUID         `json:"request"`
			Purpose string            `json:"purpose"`
			State   gdpr.ConsentState `json:"state"`
		} `json:"attributes"`
	}
	if err := json.Unmarshal(record, &said); err != nil || said.Attributes.Subject == (uuid.UUID{}) {
		return s, false
	}
	a := &said.Attributes
	return saidOf{
		eventID: said.EventID, at: said.Time.UTC(), action: said.Action, subject: gdpr.SubjectID(a.Subject), request: a.Request, purpose: a.Purpose, state: a.State,
		consents: gdpr.ValidPurpose(a.Purpose) && a.State.Valid(),
	}, true
}

// authors returns whose signatures count.
func (w *Worker) authors(ctx context.Context) (map[string]vault.Author, error) {
	list, err := w.deps.Vault.Authors(ctx)
	if err != nil {
		return nil, err
	}
	known := make(map[string]vault.Author, len(list))
	for _, a := range list {
		known[a.Name] = a
	}
	return known, nil
}

// believed reads what one of our own processes has signed; false: it has not.
func believed(known map[string]vault.Author, text []byte) (s saidOf, ok bool) {
	var entry chain.Entry
	if chain.ParseEntry(text, &entry) != nil {
		return s, false
	}
	author, ok := known[entry.Author]
	if !ok || !gdpr.VerifySystem(author.Key, entry.Event, entry.Signature) {
		return s, false
	}
	return parseSaid(entry.Event)
}

// restrictAgain marks whoever stands in the log as restricted, not lifted since, by a request of which the vault knows nothing.
func (w *Worker) restrictAgain(ctx context.Context, known map[string]vault.Author) error {
	type marks struct {
		last, lifted saidOf
	}
	people := map[gdpr.SubjectID]*marks{}
	err := w.deps.Store.SystemEntries(ctx, w.cfg.SystemTopic, typeRestriction, func(text []byte) error {
		s, ok := believed(known, text)
		if !ok {
			return nil
		}
		m := people[s.subject]
		if m == nil {
			m = &marks{}
			people[s.subject] = m
		}
		to := &m.last
		if s.action == actionLift {
			to = &m.lifted
		}
		if to.at.IsZero() || s.at.After(to.at) {
			*to = s
		}
		return nil
	})
	if err != nil {
		return err
	}
	var open []saidOf
	for _, m := range people {
		if !m.last.at.IsZero() && !m.lifted.at.After(m.last.at) {
			open = append(open, m.last)
		}
	}
	requests := make([][16]byte, len(open))
	for i := range open {
		requests[i] = open[i].request
	}
	there, err := w.deps.Vault.KnownRestrictions(ctx, requests)
	if err != nil {
		return err
	}
	for _, s := range open {
		if there[s.request] {
			continue
		}
		// Somebody who is not there any more was erased, or was new when the backup was made.
		if _, err := w.deps.Vault.Restrict(ctx, s.subject, s.request, s.at); err != nil {
			return err
		}
	}
	return nil
}

// consentPage is how many of the latest changes are compared at once. A vault knows what came before its backup was made, and nothing of what came later: where
// a page has something that it knows and nothing that it has lost, the earlier ones have nothing that it has lost either. Of people who are gone it knows nothing.
const consentPage = 1000

// consentAgain notes the changes of consents that stand in the log, and of which the vault knows nothing. Their references are lost with the vault.
func (w *Worker) consentAgain(ctx context.Context, known map[string]vault.Author) error {
	var lost []saidOf
	for skip := 0; ; skip += w.consentPage {
		var page []saidOf
		n := 0
		err := w.deps.Store.LatestSystemEntries(ctx, w.cfg.SystemTopic, typeConsent, skip, w.consentPage, func(text []byte) error {
			n++
			if s, ok := believed(known, text); ok && s.consents {
				page = append(page, s)
			}
			return nil
		})
		if err != nil {
			return err
		}
		ids := make([][16]byte, len(page))
		for i := range page {
			ids[i] = page[i].eventID
		}
		there, err := w.deps.Vault.KnownConsents(ctx, ids)
		if err != nil {
			return err
		}
		page = slices.DeleteFunc(page, func(s saidOf) bool { return there[s.eventID] })
		if page, err = w.ofLiving(ctx, page); err != nil {
			return err
		}
		lost = append(lost, page...)
		if n < w.consentPage || len(there) > 0 && len(page) == 0 {
			break
		}
	}
	slices.Reverse(lost) // the oldest first, as the vault had them
	for _, s := range lost {
		change := vault.ConsentChange{ID: s.eventID, Purpose: s.purpose, State: s.state, At: s.at}
		if err := w.deps.Vault.RestoreConsent(ctx, s.subject, change); err != nil {
			return err
		}
	}
	if len(lost) > 0 {
		w.deps.Log.Warn("the vault has lost changes of consents: it was restored from a backup; they are noted again, without their references", "changes", len(lost))
	}
	return nil
}

// ofLiving leaves out what was said of people who are not there any more.
func (w *Worker) ofLiving(ctx context.Context, page []saidOf) ([]saidOf, error) {
	ids := make([]gdpr.SubjectID, len(page))
	for i := range page {
		ids[i] = page[i].subject
	}
	there, err := w.deps.Vault.Exist(ctx, ids)
	if err != nil {
		return nil, err
	}
	living := make(map[gdpr.SubjectID]bool, len(there))
	for _, id := range there {
		living[id] = true
	}
	return slices.DeleteFunc(page, func(s saidOf) bool { return !living[s.subject] }), nil
}
