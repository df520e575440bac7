package privacy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// ConsentChange is what a person says about a purpose.
type ConsentChange struct {
	Caller    string // the caller's own id, so that a repeated call is the same change; empty: a new one
	Who       vault.Identity
	Purpose   string
	State     gdpr.ConsentState
	Reference string // what shows that it was said; it stays in the vault, encrypted
}

// maxReferenceBytes is room for a sentence or a URL: the ledger points to what was signed, and does not hold it.
const maxReferenceBytes = 1024

// errPurpose says what a purpose looks like.
var errPurpose = errors.New("a purpose is at most 64 bytes of lower case words of letters and digits, with single dots or dashes between them, such as marketing.e-mail")

func (c *ConsentChange) check() error {
	switch {
	case !gdpr.ValidPurpose(c.Purpose):
		return errPurpose
	case !c.State.Valid():
		return errors.New("a consent is granted or withdrawn")
	case c.Who.Tenant == "" || c.Who.User == "":
		return errors.New("a consent names a tenant and a user")
	case len(c.Caller) > maxCallerBytes:
		return errors.New("the caller's id of a consent has more than 256 bytes")
	case len(c.Reference) > maxReferenceBytes:
		return errors.New("the reference of a consent has more than 1024 bytes")
	}
	return nil
}

// canAct says whether an event could name the person. Whoever else became known would be in the vault for nothing.
func canAct(who vault.Identity) error {
	record := events.Record{
		EventID: events.NewUUID(time.Now()), Time: time.Now(), Type: typeConsent, Action: "grant", Outcome: events.Success, Tenant: who.Tenant, UserID: who.User,
	}
	if _, err := record.AppendJSON(nil); err != nil {
		return fmt.Errorf("no event can name this person: %w", err)
	}
	return nil
}

// typeConsent is the type of the entries about consents.
const typeConsent = "gdpr.consent"

// ChangeConsent notes what a person says about a purpose, and has the log say it, by the pseudonym. It holds at once. Of several changes at the same time the
// vault's order decides, and all are kept. Somebody unknown who grants something becomes known; of somebody unknown there is nothing to withdraw, and found is
// false. If the caller's id was there already, added is false, and the state is what holds now. The errors vault.ErrOtherConsent and vault.ErrTooManyConsents
// are the caller's.
func ChangeConsent(ctx context.Context, v *vault.Vault, c ConsentChange) (state vault.ConsentState, found, added bool, err error) {
	if err := c.check(); err != nil {
		return vault.ConsentState{}, false, false, err
	}
	if c.State == gdpr.ConsentGranted {
		if err := canAct(c.Who); err != nil {
			return vault.ConsentState{}, false, false, err
		}
	}
	change := vault.ConsentChange{ID: v.ConsentID(c.Caller), Purpose: c.Purpose, State: c.State, At: time.Now().UTC().Truncate(time.Microsecond), Reference: c.Reference}
	action := "grant"
	if c.State == gdpr.ConsentWithdrawn {
		action = "withdraw"
	}
	return v.ChangeConsent(ctx, c.Who, change, func(subject gdpr.SubjectID) (vault.Saying, error) {
		r := remark{Type: typeConsent, Action: action, Outcome: events.Success, Attributes: map[string]string{
			"subject": subject.String(), "purpose": c.Purpose, "state": string(c.State),
		}}
		return r.saying(events.UUID(change.ID), change.At)
	})
}

// CheckConsent returns what a person has said last about a purpose. It asks nobody but the vault, with one query. Somebody unknown has said nothing, and
// stays unknown.
func CheckConsent(ctx context.Context, v *vault.Vault, who vault.Identity, purpose string) (vault.ConsentState, error) {
	if !gdpr.ValidPurpose(purpose) {
		return vault.ConsentState{}, errPurpose
	}
	return v.Consent(ctx, who, purpose)
}

// Consents returns what a person has said about each purpose, with the history; nothing if nobody of that pseudonym is known.
func Consents(ctx context.Context, v *vault.Vault, subject gdpr.SubjectID) ([]gdpr.Consent, error) {
	return v.Consents(ctx, subject)
}
