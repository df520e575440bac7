package vault

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

const (
	defaultLease = time.Second
	// minSubjects leaves room for the people of a few batches, without which Resolve and Get would chase each other.
	minSubjects = 1024
	maxSubjects = 100_000_000
)

// CacheConfig bounds a Cache.
type CacheConfig struct {
	// MaxSubjects is how many subjects are kept, at about BytesPerSubject each; 1024 to 100,000,000. Those not used for longest go first, roughly.
	MaxSubjects int
	// Lease is how long subjects may be used after the vault was last asked for changes; an erasure waits that long. 0 means 1 s; at least 10 ms.
	Lease time.Duration
	// Destroyed, if not nil, is told who was destroyed, before the lease that knew them is renewed. With nil it is told that changes may have been missed, and
	// whoever has remembered somebody must ask the vault (see Existing). It is called by Run, and must neither block nor call the cache.
	Destroyed func(ids []gdpr.SubjectID)
}

// CachedSubject is what sealing needs of a subject.
type CachedSubject struct {
	ID   gdpr.SubjectID
	Keys gdpr.Prepared
}

// Cache keeps subjects ready for sealing, under a lease: Run asks the vault for changes several times a second, and without an answer the cache gives
// nobody out. So a destroyed subject is used for no longer than a lease after its destruction, whatever becomes of this process or the network.
//
// The way to use it, with Run going: Get; remember Late, and by it collect whom the cache does not have; Resolve these; AwaitLease; Get again, until all are
// there. Resolve at most a quarter of MaxSubjects at once.
type Cache struct {
	vault     *Vault
	lease     *lease
	slab      *slab
	destroyed func(ids []gdpr.SubjectID)

	// late are the people of whom records may still arrive that are nobody's any more. Read by Get's callers without a lock, replaced under mu.
	late atomic.Pointer[suppressions]

	// mu parts changes from the results of Resolve: a subject that is destroyed while its row is on the way here must not come in afterwards.
	mu sync.Mutex
	// applied is the point up to which this cache has followed the vault, nowhere while Run does not run.
	applied point
	// ahead are the points beyond applied at which Resolve has read or created rows. The vault's changes must lead through all of them: those whose rows
	// were lost (a restored backup, a standby that missed commits) are in this cache only, and what is sealed for them could never be opened.
	ahead []point
	// resolving are the calls of Resolve that wait for the vault.
	resolving map[*resolution]struct{}
}

// resolution collects what happened while one call of Resolve waits for the vault. Cache.mu guards it.
type resolution struct {
	start    point    // where the cache was
	followed []change // and what it has followed since
	unknown  bool     // nobody knows what happened
}

// fits says whether rows that were read at p are of the history that the cache follows, or of its future, which the next changes will tell.
func (r *resolution) fits(p point) bool {
	switch n := p.number - r.start.number; {
	case n < 0:
		return false
	case n == 0:
		return p == r.start
	default:
		return n > int64(len(r.followed)) || r.followed[n-1].point == p
	}
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
	c := &Cache{
		vault:     v,
		lease:     newLease(cfg.Lease),
		slab:      newSlab(cfg.MaxSubjects),
		destroyed: cfg.Destroyed,
		applied:   nowhere,
		resolving: make(map[*resolution]struct{}),
	}
	c.late.Store(&suppressions{})
	return c, nil
}

// NewHasher returns a hasher for one goroutine.
func (c *Cache) NewHasher() *Hasher { return newHasher(&c.vault.secrets.lookup) }

// Late is what a cache knew at one moment of people who were erased.
type Late struct{ known suppressions }

// Late returns what is known now. It allocates nothing.
func (c *Cache) Late() Late { return Late{*c.late.Load()} }

// Suppressed returns what was known of a person who was erased: which records are nobody's. Nil: nothing. It allocates nothing.
func (l Late) Suppressed(h LookupHash) *Suppression {
	if len(l.known) == 0 {
		return nil
	}
	return l.known[h]
}

// Suppressed is what Late knows now. Ask it before Get, and again after Resolve.
func (c *Cache) Suppressed(h LookupHash) *Suppression { return c.Late().Suppressed(h) }

// Len returns the number of subjects in the cache.
func (c *Cache) Len() int { return c.slab.len() }

// Get copies the person's subject to dst. It returns false when the subject is not cached (see Resolve) or when the lease has run out (see AwaitLease).
// It allocates nothing.
func (c *Cache) Get(h LookupHash, dst *CachedSubject) bool {
	return c.lease.valid() && c.slab.get(slabKey(h[:16]), dst)
}

// Pseudonym returns who a person was when the vault last answered, however long ago that is. It is for watching, which must go on while the vault is away, and
// never for sealing: by now the person may be erased. It allocates nothing.
func (c *Cache) Pseudonym(h LookupHash) (gdpr.SubjectID, bool) { return c.slab.id(slabKey(h[:16])) }

// LeaseValid says whether what the cache has said may be used.
func (c *Cache) LeaseValid() bool { return c.lease.valid() }

// AwaitLease returns as soon as the lease is valid, at once if it is. It fails only when ctx ends, and then says what the vault answered last.
func (c *Cache) AwaitLease(ctx context.Context) error { return c.lease.await(ctx) }

// Resolve fetches or creates the subjects of ids that are missing, in one round trip to the vault, and caches them. It waits for the lease first.
// A subject that is destroyed at the same time is left out. So is a person who turns out to have been erased: Suppressed knows from then on, and whoever
// still wants that person, because a record is not covered, asks again and gets a new stranger. known is what ids were collected by, before the wait: what the
// cache has learned since has had no say in it. Of a person whose row is damaged the error says ErrDamaged; all others are cached.
func (c *Cache) Resolve(ctx context.Context, ids []Identity, known Late) error {
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
	subjects, seen, late, err := c.vault.subjects(ctx, missing, known.known)
	prepared := make([]CachedSubject, len(subjects))
	for i := range subjects {
		if subjects[i].ID == (gdpr.SubjectID{}) {
			continue // damaged
		}
		prepared[i] = CachedSubject{ID: subjects[i].ID, Keys: gdpr.Prepare(&subjects[i].Keys)}
		subjects[i].Keys.Wipe()
	}
	c.suppress(late)
	taken := c.end(r, keys, prepared, seen)
	clear(prepared)
	if err == nil && !taken {
		return fmt.Errorf("look up subjects: %w: it went back in time or was replaced by another one meanwhile", ErrUnavailable)
	}
	return err
}

// suppress adds to what is known. It comes before the rows that were read with it.
func (c *Cache) suppress(more suppressions) {
	if len(more) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	all := maps.Clone(*c.late.Load())
	maps.Copy(all, more)
	c.late.Store(&all)
}

// begin notes that rows are about to be read.
func (c *Cache) begin() *resolution {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &resolution{start: c.applied, unknown: c.applied == nowhere}
	c.resolving[r] = struct{}{}
	return r
}

// end caches what was read at the points seen, except what was destroyed since begin. What is destroyed after end is found in the slab. It returns false
// and caches nothing if the rows may be of another history than the one that the cache follows.
func (c *Cache) end(r *resolution, keys []slabKey, subjects []CachedSubject, seen []point) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.resolving, r)
	if r.unknown {
		return false
	}
	for _, p := range seen {
		if !r.fits(p) {
			return false
		}
	}
	for _, p := range seen {
		if p.number > c.applied.number && !slices.Contains(c.ahead, p) {
			c.ahead = append(c.ahead, p)
		}
	}
	gone := destroyedBy(r.followed)
	for i := range subjects {
		if _, ok := gone[subjects[i].ID]; !ok && subjects[i].ID != (gdpr.SubjectID{}) {
			c.slab.put(keys[i], &subjects[i])
		}
	}
	return true
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
	c.forget()
}

// renew asks the vault for changes, applies them, and only then extends the lease, from the moment before it asked.
func (c *Cache) renew(ctx context.Context) {
	asked := c.lease.now()
	ctx, cancel := context.WithTimeout(ctx, c.lease.length)
	defer cancel()
	if err := c.catchUp(ctx); err != nil {
		c.lease.failed(err)
		return
	}
	c.lease.extend(asked)
}

// catchUp follows the vault, or starts again, empty, from where the vault is.
func (c *Cache) catchUp(ctx context.Context) error {
	since, ahead := c.reached()
	list, known, err := c.vault.changesSince(ctx, since)
	if err != nil {
		return err
	}
	// Before the changes are followed: whoever is found destroyed there must be known to be suppressed.
	if known && len(destroyedBy(list)) > 0 {
		if err := c.loadSuppressed(ctx); err != nil {
			return err
		}
	}
	if known && c.follow(since, list, ahead) {
		return nil
	}
	c.forget()
	start, err := c.vault.present(ctx)
	if err != nil {
		return err
	}
	if err := c.loadSuppressed(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.applied = start
	return nil
}

// loadSuppressed reads all suppressions anew. What Resolve has learned meanwhile stays: it may be later than what was read.
func (c *Cache) loadSuppressed(ctx context.Context) error {
	before := c.late.Load()
	all, err := c.vault.suppressed(ctx, c.vault.db.watch, nil)
	if err := c.vault.db.settled(err); err != nil {
		return c.vault.failed("read who was erased", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.late.Load(); now != before {
		for h, suppression := range *now {
			if (*before)[h] != suppression {
				all[h] = suppression
			}
		}
	}
	c.late.Store(&all)
	return nil
}

// reached returns the point up to which the cache has followed, and how many points ahead of it the vault has been at for certain.
func (c *Cache) reached() (since point, ahead int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.applied, len(c.ahead)
}

// follow applies the changes after a point. It returns false if they do not lead through the points ahead. Those after the first few were noted after
// the vault had been asked, so they may be later than its answer.
func (c *Cache) follow(since point, list []change, first int) bool {
	if len(list) == 0 && first == 0 {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var later []point
	for i, p := range c.ahead {
		switch n := p.number - since.number; {
		case n > int64(len(list)) && i >= first:
			later = append(later, p)
		case n > int64(len(list)) || list[n-1].point != p:
			return false
		}
	}
	for r := range c.resolving {
		r.followed = append(r.followed, list...)
	}
	if gone := destroyedBy(list); len(gone) > 0 {
		c.slab.drop(gone) // looks at all that it holds
		if c.destroyed != nil {
			c.destroyed(slices.Collect(maps.Keys(gone)))
		}
	}
	c.ahead = later
	if len(list) > 0 {
		c.applied = list[len(list)-1].point
	}
	return true
}

func destroyedBy(list []change) map[gdpr.SubjectID]struct{} {
	var gone map[gdpr.SubjectID]struct{}
	for i := range list {
		if list[i].destroyed == (gdpr.SubjectID{}) {
			continue
		}
		if gone == nil {
			gone = make(map[gdpr.SubjectID]struct{})
		}
		gone[list[i].destroyed] = struct{}{}
	}
	return gone
}

// forget wipes everything. Until the cache knows where the vault is, nothing comes in.
func (c *Cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for r := range c.resolving {
		r.unknown = true
	}
	c.slab.clear()
	c.applied, c.ahead = nowhere, nil
	if c.destroyed != nil {
		c.destroyed(nil)
	}
}
