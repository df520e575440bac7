package apikey

import (
	"errors"
	"time"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// Bounds of what is written beside a key.
const (
	maxTenantBytes = 128 // as an event's tenant
	maxNameBytes   = 256
)

// NewRecord makes a key, and what the vault keeps of it.
func NewRecord(role Role, tenant, name string, now time.Time) (vault.APIKey, Key, error) {
	k := New()
	record, err := k.Record(role, tenant, name, now)
	return record, k, err
}

// Record returns what the vault keeps of a key, under a new id.
func (k Key) Record(role Role, tenant, name string, now time.Time) (vault.APIKey, error) {
	switch {
	case !role.Valid():
		return vault.APIKey{}, errors.New("a key's role is viewer, analyst, auditor, dpo or admin")
	case len(tenant) > maxTenantBytes:
		return vault.APIKey{}, errors.New("a tenant has at most 128 bytes")
	case len(name) > maxNameBytes:
		return vault.APIKey{}, errors.New("a key's name has at most 256 bytes")
	}
	return vault.APIKey{
		ID: [16]byte(events.NewUUID(now)), Hash: k.Hash(), Role: string(role), Tenant: tenant, Name: name, Added: now.Truncate(time.Microsecond),
	}, nil
}
