package vault

import (
	"context"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Identity is a person as the events name them: unescaped UTF-8. User "" stands for the tenant itself, for content of events without a user.
type Identity struct{ Tenant, User string }

// Subject is a person as the log knows them.
type Subject struct {
	ID   gdpr.SubjectID
	Keys gdpr.Keys
}

// Subjects returns the subjects of ids, in their order, and creates those that are new. Identities may repeat.
func (v *Vault) Subjects(ctx context.Context, ids []Identity) ([]Subject, error) { return nil, nil }

// Find returns the subject of a person, and false if there is none.
func (v *Vault) Find(ctx context.Context, id Identity) (Subject, bool, error) { return Subject{}, false, nil }

// SubjectByID returns the subject behind a pseudonym, and false if there is none (any more).
func (v *Vault) SubjectByID(ctx context.Context, id gdpr.SubjectID) (Subject, bool, error) {
	return Subject{}, false, nil
}

// KeysByID returns those of the keys that still exist, subjects' and days' alike.
func (v *Vault) KeysByID(ctx context.Context, ids []gdpr.KeyID) (map[gdpr.KeyID]gdpr.Keys, error) {
	return nil, nil
}

// Identify leads pseudonyms back to people. Those that are unknown or destroyed are absent.
func (v *Vault) Identify(ctx context.Context, ids []gdpr.SubjectID) (map[gdpr.SubjectID]Identity, error) {
	return nil, nil
}

// Destroy deletes a subject: identity, look-up hash and keys. Caches drop it within their lease. It is no error if there is none.
func (v *Vault) Destroy(ctx context.Context, id gdpr.SubjectID) error { return nil }
