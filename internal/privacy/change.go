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

// stepOf is what the log says about a step of a request.
func stepOf(request *vault.Request, state gdpr.RequestState, reason string) remark {
	r := remark{Type: typeRequest, Action: string(request.Kind), Outcome: outcomeOf(state), Attributes: map[string]string{
		"request": gdpr.SubjectID(request.ID).String(), "kind": string(request.Kind), "state": string(state),
	}}
	if request.Subject != (gdpr.SubjectID{}) {
		r.Attributes["subject"] = request.Subject.String()
	}
	if reason != "" {
		r.Attributes["reason"] = reason
	}
	return r
}

// VerifyRequest notes who has checked that a request is the person's, so that it is carried out. It returns false if there is nothing to check any more.
func VerifyRequest(ctx context.Context, v *vault.Vault, request *vault.Request, by string) (bool, error) {
	step := stepOf(request, gdpr.StateVerified, "")
	step.Attributes["by"] = by
	now := time.Now()
	said, err := step.saying(stepID(request.ID, string(gdpr.StateVerified)), now)
	if err != nil {
		return false, err
	}
	return v.VerifyRequest(ctx, request.ID, by, now, said)
}

// CancelRequest ends a request that nobody is at work on yet, and returns false if it cannot be cancelled any more.
func CancelRequest(ctx context.Context, v *vault.Vault, request *vault.Request, reason string) (bool, error) {
	now := time.Now()
	said, err := stepOf(request, gdpr.StateCancelled, reason).saying(stepID(request.ID, string(gdpr.StateCancelled)), now)
	if err != nil {
		return false, err
	}
	return v.CancelRequest(ctx, request.ID, reason, now, said)
}

// ExtendRequest moves the date at which a request is due by two months (GDPR Art. 12(3)), once, with the reason that the person is told. It returns false if it
// was extended or has ended.
func ExtendRequest(ctx context.Context, v *vault.Vault, request *vault.Request, reason string) (bool, error) {
	if reason == "" {
		return false, errors.New("an extension needs a reason, which the person is told")
	}
	due := request.Received.AddDate(0, 1, 0)
	to := due.AddDate(0, 2, 0)
	step := stepOf(request, request.State, reason)
	step.Attributes["due"] = to.Format(time.RFC3339)
	now := time.Now()
	said, err := step.saying(stepID(request.ID, "extended"), now)
	if err != nil {
		return false, err
	}
	return v.ExtendRequest(ctx, request.ID, due, to, now, said)
}

// typeHold is the type of the entries about legal holds.
const typeHold = "gdpr.hold"

// AddHold orders a legal hold.
func AddHold(ctx context.Context, v *vault.Vault, hold vault.Hold) error {
	r := remark{Type: typeHold, Action: "add", Outcome: events.Success, Attributes: map[string]string{
		"hold": gdpr.SubjectID(hold.ID).String(), "subject": hold.Subject.String(), "reason": hold.Reason, "by": hold.Author,
	}}
	if !hold.Expires.IsZero() {
		r.Attributes["expires"] = hold.Expires.Format(time.RFC3339)
	}
	said, err := r.saying(stepID(hold.ID, "hold"), hold.At)
	if err != nil {
		return err
	}
	// A refusal quotes all of it. One that could not stand in the log would be tried for ever.
	refused := stepOf(&vault.Request{Kind: gdpr.RequestErasure, Subject: hold.Subject}, gdpr.StateRefused, (&vault.HeldError{Hold: hold}).Error())
	if _, err := refused.saying(stepID(hold.ID, "refusal"), hold.At); err != nil {
		return fmt.Errorf("the reason is too long: %w", err)
	}
	return v.AddHold(ctx, hold, said)
}

// LiftHold ends a legal hold, and returns false if there is none that holds.
func LiftHold(ctx context.Context, v *vault.Vault, id [16]byte) (bool, error) {
	now := time.Now()
	r := remark{Type: typeHold, Action: "lift", Outcome: events.Success, Attributes: map[string]string{"hold": gdpr.SubjectID(id).String()}}
	said, err := r.saying(stepID(id, "lifted"), now)
	if err != nil {
		return false, err
	}
	return v.LiftHold(ctx, id, now, said)
}
