package cli

import (
	"context"
	"errors"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// errNobody: there is no person of the name that a command was given. Commands that only ask say it and go on; those that order something end with it.
var errNobody = errors.New("the vault knows nobody of that name")

// pseudonymOf finds a person, or returns errNobody. Nobody becomes known by being asked about, and the person's keys do not leave it.
func pseudonymOf(ctx context.Context, v *vault.Vault, who vault.Identity) (gdpr.SubjectID, error) {
	subject, found, err := v.Find(ctx, who)
	if err != nil {
		return gdpr.SubjectID{}, err
	}
	if !found {
		return gdpr.SubjectID{}, errNobody
	}
	subject.Keys.Wipe()
	return subject.ID, nil
}
