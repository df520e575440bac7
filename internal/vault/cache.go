package vault

import (
	"context"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// CacheConfig bounds a Cache.
type CacheConfig struct {
	// MaxSubjects is how many subjects are kept, at about 210 bytes each.
	MaxSubjects int
	// Lease is how long subjects may be used after the vault was last asked for changes. An erasure waits that long. 0 means 1 s.
	Lease time.Duration
}

// CachedSubject is what sealing needs of a subject.
type CachedSubject struct {
	ID   gdpr.SubjectID
	Keys gdpr.Prepared
}

// Cache keeps subjects ready for sealing, under a lease.
type Cache struct{}

// NewCache returns an empty cache. Its lease is valid only while Run runs.
func NewCache(v *Vault, cfg CacheConfig) (*Cache, error) { return nil, nil }

// NewHasher returns a hasher for one goroutine.
func (c *Cache) NewHasher() *Hasher { return nil }

// Get copies the person's subject to dst. It returns false when the subject is not cached (see Resolve) or when the lease has run out (see AwaitLease).
func (c *Cache) Get(h LookupHash, dst *CachedSubject) bool { return false }

// Resolve fetches or creates the subjects of ids that are missing, and caches them.
func (c *Cache) Resolve(ctx context.Context, ids []Identity) error { return nil }

// Run keeps the lease until ctx ends, and then wipes the cache.
func (c *Cache) Run(ctx context.Context) error { return nil }

// AwaitLease returns as soon as the lease is valid.
func (c *Cache) AwaitLease(ctx context.Context) error { return nil }
