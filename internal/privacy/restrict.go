package privacy

import (
	"context"
	"errors"
	"time"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// typeRestriction is the type of the entries that say whose data is restricted, and whose is not any more.
const typeRestriction = "gdpr.restriction"

const (
	actionRestrict = "restrict"
	actionLift     = "lift"
)

func restriction(action string, subject gdpr.SubjectID) remark {
	return remark{Type: typeRestriction, Action: action, Outcome: events.Success, Attributes: map[string]string{"subject": subject.String()}}
}

// restrict carries out a restriction (GDPR Art. 18): the person's data is kept, and shown to nobody but the data protection officer. Legal holds do not matter:
// nothing is destroyed.
func (w *Worker) restrict(ctx context.Context, request *vault.Request) error {
	if err := w.findSubject(ctx, request); err != nil {
		return err
	}
	if err := w.say(ctx, request, gdpr.StateInProgress, ""); err != nil {
		return err
	}
	now := time.Now()
	r := restriction(actionRestrict, request.Subject)
	r.Attributes["request"] = gdpr.SubjectID(request.ID).String()
	said, err := r.saying(stepID(request.ID, typeRestriction), now)
	if err != nil {
		return err
	}
	found, err := w.deps.Vault.Restrict(ctx, request.Subject, request.ID, now, said)
	if err != nil {
		return err
	}
	if !found {
		return &refusal{"the person was erased by another request meanwhile"}
	}
	return w.end(ctx, request, vault.Ending{State: gdpr.StateCompleted})
}

// LiftRestriction ends a restriction, and has the log say why. It returns false if there is none, or nobody of that name is known.
func LiftRestriction(ctx context.Context, v *vault.Vault, who vault.Identity, reason string) (bool, error) {
	if reason == "" {
		return false, errors.New("a restriction is lifted for a reason")
	}
	subject, found, err := v.Find(ctx, who)
	if err != nil || !found {
		return false, err
	}
	subject.Keys.Wipe()
	now := time.Now()
	r := restriction(actionLift, subject.ID)
	r.Attributes["reason"] = reason
	said, err := r.saying(events.NewUUID(now), now)
	if err != nil {
		return false, err
	}
	return v.Unrestrict(ctx, subject.ID, now, said)
}
