package vault

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

const (
	defaultLease = time.Second
	// minSubjects leaves room for the people of a few batches, without which Resolve and Get would chase each other.
	minSubjects = 1024
	maxSubjects = 100_000_000
	// notAsked is below every change counter: the first answer makes the cache start empty.
	notAsked = -1
)

// CacheConfig bounds a Cache.
type CacheConfig struct {
	// MaxSubjects is how many subjects are kept, at about 200 bytes each; 1024 to 100,000,000. Those not used for longest go first, roughly.
	MaxSubjects int
	// Lease is how long subjects may be used after the vault was last asked for changes; an erasure waits that long. 0 means 1 s; at least 10 ms.
	Lease time.Duration
}

// CachedSubject is what sealing needs of a subject.
type CachedSubject struct {
	ID   gdpr.SubjectID
	Keys gdpr.Prepared
}

// Cache keeps subjects ready for sealing, under a lease: Run asks the vault for changes several times a second, and without an answer the cache gives
// nobody out. So a destroyed subject is used for no longer than a lease after its destruction, whatever becomes of this process or the network.
//
// The way to use it, with Run going: Get; collect whom it does not have; Resolve these; AwaitLease; Get again, until all are there. Resolve at most a
// quarter of MaxSubjects at once.
type Cache struct {
	vault *Vault
	lease *lease
	slab  *slab

	// mu parts changes from the results of Resolve: a subject that is destroyed while its row is on the way here must not come in afterwards.
	mu sync.Mutex
	// applied is the vault's change counter up to which this cache has followed, notAsked while Run does not run.
	applied int64
	// resolving are the calls of Resolve that wait for the vault.
	resolving map[*resolution]struct{}
}

// resolution collects what was destroyed while one call of Resolve waits for the vault. Cache.mu guards it.
type resolution struct {
	destroyed map[gdpr.SubjectID]struct{}
	unknown   bool // nobody knows what was destroyed
}

// NewCache returns an empty cache. Its lease is valid only while Run runs.
func NewCache(v *Vault, cfg CacheConfig) (*Cache, error) {
	if cfg.Lease == 0 {
		cfg.Lease = defaultLease
	}
	if cfg.MaxSubjects < minSubjects || cfg.MaxSubjects > maxSubjects {
		return nil, fmt.Errorf("cache of %d subjects: wanted %d to %d", cfg.MaxSubjects, minSubjects, maxSubjects)
	}
	if cfg.Lease < 10*time.Millisecond {
		return nil, fmt.Errorf("lease of %v: wanted at least 10ms", cfg.Lease)
	}
	return &Cache{
		vault:     v,
		lease:     newLease(cfg.Lease),
		slab:      newSlab(cfg.MaxSubjects),
		applied:   notAsked,
		resolving: make(map[*resolution]struct{}),
	}, nil
}

// NewHasher returns a hasher for one goroutine.
func (c *Cache) NewHasher() *Hasher { return newHasher(&c.vault.secrets.lookup) }

// Len returns the number of subjects in the cache.
func (c *Cache) Len() int { return c.slab.len() }

// Get copies the person's subject to dst. It returns false when the subject is not cached (see Resolve) or when the lease has run out (see AwaitLease).
// It allocates nothing.
func (c *Cache) Get(h LookupHash, dst *CachedSubject) bool {
	return c.lease.valid() && c.slab.get(slabKey(h[:16]), dst)
}

// AwaitLease returns as soon as the lease is valid, at once if it is. It fails only when ctx ends, and then says what the vault answered last.
func (c *Cache) AwaitLease(ctx context.Context) error { return c.lease.await(ctx) }

// Resolve fetches or creates the subjects of ids that are missing, in one round trip to the vault, and caches them. It waits for the lease first.
// A subject that is destroyed at the same time is left out.
func (c *Cache) Resolve(ctx context.Context, ids []Identity) error {
	// Without a first answer from the vault nobody knows which changes come after what is read now.
	if err := c.AwaitLease(ctx); err != nil {
		return err
	}
	hasher := c.NewHasher()
	keys := make([]slabKey, 0, len(ids))
	missing := make([]Identity, 0, len(ids))
	for _, id := range ids {
		h := hasher.identity(id)
		if key := slabKey(h[:16]); !c.slab.has(key) {
			keys, missing = append(keys, key), append(missing, id)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	r := c.begin()
	subjects, err := c.vault.Subjects(ctx, missing)
	prepared := make([]CachedSubject, len(subjects))
	for i := range subjects {
		prepared[i] = CachedSubject{ID: subjects[i].ID, Keys: gdpr.Prepare(&subjects[i].Keys)}
		subjects[i].Keys.Wipe()
	}
	c.end(r, keys, prepared)
	clear(prepared)
	return err
}

// begin notes that rows are about to be read.
func (c *Cache) begin() *resolution {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &resolution{destroyed: make(map[gdpr.SubjectID]struct{})}
	c.resolving[r] = struct{}{}
	return r
}

// end caches what was read, except what was destroyed since begin. What is destroyed after end is found in the slab.
func (c *Cache) end(r *resolution, keys []slabKey, subjects []CachedSubject) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.resolving, r)
	if r.unknown || c.applied == notAsked {
		return
	}
	for i := range subjects {
		if _, gone := r.destroyed[subjects[i].ID]; !gone {
			c.slab.put(keys[i], &subjects[i])
		}
	}
}

// Run keeps the lease until ctx ends; then it ends the lease, wipes the cache and returns nil. It runs once at a time.
func (c *Cache) Run(ctx context.Context) error {
	// Three chances in a lease, so that one slow answer does not stop anything.
	ticker := time.NewTicker(c.lease.length * 3 / 10)
	defer ticker.Stop()
	defer c.stop()
	for {
		c.renew(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (c *Cache) stop() {
	c.lease.end()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(notAsked)
}

// renew asks the vault for changes, applies them, and only then extends the lease, from the moment before it asked.
func (c *Cache) renew(ctx context.Context) {
	asked := c.lease.now()
	ctx, cancel := context.WithTimeout(ctx, c.lease.length)
	defer cancel()
	c.mu.Lock()
	applied := c.applied
	c.mu.Unlock()
	news, err := c.vault.changesSince(ctx, applied)
	if err != nil {
		c.lease.failed(err)
		return
	}
	c.apply(applied, news)
	c.lease.extend(asked)
}

func (c *Cache) apply(applied int64, news changes) {
	if news.upTo == applied {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if news.unknown {
		c.forget(news.upTo)
		return
	}
	gone := make(map[gdpr.SubjectID]struct{}, len(news.destroyed))
	for _, id := range news.destroyed {
		gone[id] = struct{}{}
		for r := range c.resolving {
			r.destroyed[id] = struct{}{}
		}
	}
	c.slab.drop(gone)
	c.applied = news.upTo
}

// forget wipes everything. The caller holds mu.
func (c *Cache) forget(applied int64) {
	for r := range c.resolving {
		r.unknown = true
	}
	c.slab.clear()
	c.applied = applied
}
