package privacy

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Submission is a request as it comes in.
type Submission struct {
	Caller          string // the caller's own id, so that a repeated call is the same request; empty: a new one
	Kind            gdpr.RequestKind
	Who             vault.Identity
	VerifiedBy      string    // who has checked that it is the person's; empty: somebody has to, before it is carried out
	SuppressForever bool      // of an erasure: later events of the person are nobody's too
	Asked           time.Time // when the person asked: from then on the deadline counts; zero, or in the future: now
	Recipient       string    // of an export: for whom it is encrypted, see ParseRecipient; empty: for whoever may fetch it from us
}

// maxCallerBytes bounds a caller's id.
const maxCallerBytes = 256

// Submit stores a request, due in a month (GDPR Art. 12(3)). If the caller's id was there already, that request is returned and added is false.
func Submit(ctx context.Context, v *vault.Vault, s Submission) (request vault.Request, added bool, err error) {
	switch {
	case !s.Kind.Valid():
		return vault.Request{}, false, errors.New("a request is for an export, an erasure or a restriction")
	case s.Who.Tenant == "" || s.Who.User == "":
		return vault.Request{}, false, errors.New("a request names a tenant and a user")
	case len(s.Caller) > maxCallerBytes:
		return vault.Request{}, false, errors.New("the caller's id of a request has more than 256 bytes")
	}
	if s.Recipient != "" {
		if s.Kind != gdpr.RequestExport {
			return vault.Request{}, false, errors.New("only an export has a recipient")
		}
		if _, err := ParseRecipient(s.Recipient); err != nil {
			return vault.Request{}, false, err
		}
	}
	text, err := json.Marshal(options{SuppressForever: s.SuppressForever, Recipient: s.Recipient})
	if err != nil {
		return vault.Request{}, false, err
	}
	now := time.Now().UTC()
	came := now
	if !s.Asked.IsZero() && s.Asked.Before(now) {
		came = s.Asked.UTC()
	}
	request = vault.Request{
		ID: [16]byte(events.NewUUID(now)), Caller: s.Caller, Kind: s.Kind, State: gdpr.StateReceived, Options: string(text), VerifiedBy: s.VerifiedBy,
		Received: came, Due: came.AddDate(0, 1, 0),
	}
	if s.Caller == "" {
		request.Caller = uuid.UUID(request.ID).String()
	}
	if s.VerifiedBy != "" {
		request.State = gdpr.StateVerified
	}
	received := stepOf(&request, gdpr.StateReceived, "")
	if s.VerifiedBy != "" {
		received.Attributes["by"] = s.VerifiedBy
	}
	said, err := received.saying(stepID(request.ID, string(gdpr.StateReceived)), now)
	if err != nil {
		return vault.Request{}, false, err
	}
	request, added, err = v.AddRequest(ctx, request, s.Who, said)
	if err == nil && !added && s.Kind == gdpr.RequestExport {
		if err := sameExport(ctx, v, &request, s.Who); err != nil {
			return vault.Request{}, false, err
		}
	}
	return request, added, err
}

// sameExport refuses to take a request that was there for the one that came: its archive would be handed to whoever asked for another person's. The error is
// ErrOtherRequest.
func sameExport(ctx context.Context, v *vault.Vault, stored *vault.Request, who vault.Identity) error {
	if stored.Kind != gdpr.RequestExport {
		return ErrOtherRequest
	}
	theirs, open, err := v.RequestIdentity(ctx, *stored)
	if err != nil {
		return err
	}
	if open {
		if theirs != who {
			return ErrOtherRequest
		}
		return nil
	}
	if stored.State != gdpr.StateCompleted {
		return nil // there is nothing to hand out
	}
	subject, found, err := v.Find(ctx, who)
	if err != nil {
		return err
	}
	subject.Keys.Wipe()
	if !found || subject.ID != stored.Subject {
		return ErrOtherRequest
	}
	return nil
}

// stepID is the event id of what is said about a step of a request: the same whenever it is said.
func stepID(request [16]byte, step string) events.UUID {
	return events.HashedUUID(append(append([]byte("agentaudit/request/v1\x00"), request[:]...), step...))
}
