package vault

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

func newCache(t testing.TB, v *Vault, lease time.Duration) *Cache {
	t.Helper()
	c, err := NewCache(v, CacheConfig{MaxSubjects: 10_000, Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// running runs the cache until the test ends or stop is called.
func running(t testing.TB, c *Cache) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func resolve(t testing.TB, c *Cache, ids ...Identity) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := c.Resolve(ctx, ids, c.Late()); err != nil {
		t.Fatal(err)
	}
}

func lookup(c *Cache, id Identity) LookupHash {
	return c.NewHasher().Hash([]byte(id.Tenant), []byte(id.User))
}

func TestCache(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		c := newCache(t, v, time.Hour)
		alice, bob := Identity{"acme", "alice"}, Identity{"acme", "bob"}
		var got CachedSubject
		if c.Get(lookup(c, alice), &got) {
			t.Error("got somebody from an empty cache")
		}
		stop := running(t, c)
		resolve(t, c, alice, bob, alice)
		resolve(t, c, alice)
		resolve(t, c)
		subjects := subjectsOf(t, v, alice, bob)
		for i, id := range []Identity{alice, bob} {
			want := CachedSubject{ID: subjects[i].ID, Keys: gdpr.Prepare(&subjects[i].Keys)}
			if !c.Get(lookup(c, id), &got) || got != want {
				t.Errorf("%v: not the vault's subject", id)
			}
		}
		if c.Len() != 2 {
			t.Errorf("%d subjects, want 2", c.Len())
		}
		stop()
		if c.Len() != 0 || c.Get(lookup(c, alice), &got) {
			t.Error("subjects are left after Run")
		}
		// Run can be started again.
		running(t, c)
		resolve(t, c, alice)
		if !c.Get(lookup(c, alice), &got) || got.ID != subjects[0].ID {
			t.Error("not there after another start")
		}
	})
}

func TestNewCacheRefused(t *testing.T) {
	for _, cfg := range []CacheConfig{{}, {MaxSubjects: 1000}, {MaxSubjects: 1 << 30}, {MaxSubjects: 5000, Lease: time.Millisecond}, {MaxSubjects: 5000, Lease: -1}} {
		if _, err := NewCache(&Vault{}, cfg); err == nil {
			t.Errorf("%+v accepted", cfg)
		}
	}
}

// Another process destroys a subject: this one uses it no longer than a lease.
func TestDestroyedSubjectLeavesTheCache(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		keys, _ := newKeyring(t)
		v, other := openVault(t, cfg, keys), openVault(t, cfg, keys)
		c := newCache(t, v, 0)
		running(t, c)
		ids := people(0, 100)
		resolve(t, c, ids...)
		gone := subjectsOf(t, other, ids[7])[0]
		if err := other.Destroy(t.Context(), gone.ID); err != nil {
			t.Fatal(err)
		}
		destroyed := time.Now()
		var got CachedSubject
		h := lookup(c, ids[7])
		testkit.Eventually(t, soon, func() bool {
			// Looked at before the clock: whatever is handed out after a lease is wrong.
			asked := time.Since(destroyed)
			if !c.Get(h, &got) {
				return c.lease.valid()
			}
			if asked > defaultLease {
				t.Fatalf("still handed out %v after its destruction", asked)
			}
			return false
		}, "the destroyed subject leaves the cache")
		for i, id := range ids {
			if i != 7 && !c.Get(lookup(c, id), &got) {
				t.Errorf("%d left too", i)
			}
		}
		resolve(t, c, ids[7])
		if !c.Get(h, &got) || got.ID == gone.ID {
			t.Error("not a stranger after the destruction")
		}
	})
}

// TestPseudonyms: whoever only watches goes on without the vault, and hears of those who are gone.
func TestPseudonyms(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		told := make(chan []gdpr.SubjectID, 100)
		c, err := NewCache(v, CacheConfig{MaxSubjects: 10_000, Destroyed: func(ids []gdpr.SubjectID) { told <- ids }})
		if err != nil {
			t.Fatal(err)
		}
		stop := running(t, c)
		ids := people(0, 2)
		resolve(t, c, ids...)
		if first := <-told; first != nil {
			t.Errorf("at the start %v are gone; want to hear that nobody knows", first)
		}
		subjects := subjectsOf(t, v, ids...)
		for i, id := range ids {
			if got, found := c.Pseudonym(lookup(c, id)); !found || got != subjects[i].ID {
				t.Errorf("%v, %v, want %v", got, found, subjects[i].ID)
			}
		}
		if err := v.Destroy(t.Context(), subjects[0].ID); err != nil {
			t.Fatal(err)
		}
		if gone := <-told; len(gone) != 1 || gone[0] != subjects[0].ID {
			t.Errorf("%v are gone", gone)
		}
		testkit.Eventually(t, soon, func() bool { _, found := c.Pseudonym(lookup(c, ids[0])); return !found }, "the pseudonym of who is gone is gone")
		there, err := v.Existing(t.Context(), []gdpr.SubjectID{subjects[0].ID, subjects[1].ID})
		if err != nil || len(there) != 1 || !there[subjects[1].ID] {
			t.Errorf("%v, %v", there, err)
		}
		c.lease.end()
		if got, found := c.Pseudonym(lookup(c, ids[1])); !found || got != subjects[1].ID {
			t.Error("without a lease nobody is known any more")
		}
		stop()
	})
}

// readFor reads people as Resolve does.
func readFor(t testing.TB, c *Cache, ids ...Identity) ([]slabKey, []CachedSubject, []point) {
	t.Helper()
	subjects, seen, _, err := c.vault.subjects(t.Context(), ids, nil)
	if err != nil {
		t.Fatal(err)
	}
	var keys []slabKey
	var list []CachedSubject
	for i, s := range subjects {
		h := lookup(c, ids[i])
		keys = append(keys, slabKey(h[:16]))
		list = append(list, CachedSubject{ID: s.ID, Keys: gdpr.Prepare(&s.Keys)})
	}
	return keys, list, seen
}

// The row was read before the destruction and arrives after the cache has heard of it.
func TestResolveThatRacedWithDestroy(t *testing.T) {
	v := newVault(t, emptyDatabase(t, DriverSQLite))
	c := newCache(t, v, time.Hour)
	c.renew(t.Context())
	ids := people(0, 2)
	read := func() (*resolution, []slabKey, []CachedSubject, []point) {
		t.Helper()
		r := c.begin()
		keys, list, seen := readFor(t, c, ids...)
		return r, keys, list, seen
	}
	var got CachedSubject

	r, keys, list, seen := read()
	if err := v.Destroy(t.Context(), list[0].ID); err != nil {
		t.Fatal(err)
	}
	c.renew(t.Context())
	c.end(r, keys, list, seen)
	if c.Get(lookup(c, ids[0]), &got) || !c.Get(lookup(c, ids[1]), &got) {
		t.Error("the destroyed subject came back, or the other one stayed away")
	}
	if len(c.resolving) != 0 {
		t.Error("a finished Resolve is still followed")
	}

	// It arrives before the cache hears of it.
	r, keys, list, seen = read()
	if err := v.Destroy(t.Context(), list[0].ID); err != nil {
		t.Fatal(err)
	}
	c.end(r, keys, list, seen)
	c.renew(t.Context())
	if c.Get(lookup(c, ids[0]), &got) || !c.Get(lookup(c, ids[1]), &got) {
		t.Error("the destroyed subject stayed, or the other one went")
	}

	// Nobody knows any more what was destroyed in the meantime.
	r, keys, list, seen = read()
	if err := v.Destroy(t.Context(), list[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := v.db.write.ExecContext(t.Context(), `DELETE FROM changes`); err != nil {
		t.Fatal(err)
	}
	c.renew(t.Context())
	c.end(r, keys, list, seen)
	if c.Len() != 0 {
		t.Error("the cache kept what may be destroyed")
	}

	// Run has ended.
	r, keys, list, seen = read()
	c.stop()
	c.end(r, keys, list, seen)
	if c.Len() != 0 {
		t.Error("somebody came into a cache that nobody keeps")
	}
}

// Many goroutines read, resolve and destroy; what Get hands out is always somebody whom the vault has or had, under the right name.
func TestCacheInParallel(t *testing.T) {
	v := newVault(t, emptyDatabase(t, DriverSQLite))
	c, err := NewCache(v, CacheConfig{MaxSubjects: minSubjects})
	if err != nil {
		t.Fatal(err)
	}
	running(t, c)
	ids := people(0, 2*minSubjects) // not all fit
	subjectsOf(t, v, ids...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var mu sync.Mutex
	owner := make(map[gdpr.SubjectID]int)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			hasher := c.NewHasher()
			var got CachedSubject
			for ctx.Err() == nil {
				n := rand.IntN(len(ids))
				if !c.Get(hasher.identity(ids[n]), &got) {
					from := rand.IntN(len(ids) - 100)
					if err := c.Resolve(t.Context(), append(ids[from:from+100:from+100], ids[n]), c.Late()); err != nil {
						t.Error(err)
						return
					}
					continue
				}
				mu.Lock()
				if before, ok := owner[got.ID]; ok && before != n {
					t.Errorf("one pseudonym for %d and %d", before, n)
				}
				owner[got.ID] = n
				mu.Unlock()
				if rand.IntN(500) == 0 {
					if err := v.Destroy(t.Context(), got.ID); err != nil && !errors.Is(err, ErrUnavailable) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestHotPathAllocatesNothing(t *testing.T) {
	v := newVault(t, emptyDatabase(t, DriverSQLite))
	c := newCache(t, v, time.Hour)
	running(t, c)
	id := Identity{"acme", strings.Repeat("alice", 20)}
	resolve(t, c, id)
	hasher := c.NewHasher()
	tenant, user := []byte(id.Tenant), []byte(id.User)
	var got CachedSubject
	if n := testing.AllocsPerRun(1000, func() {
		if !c.Get(hasher.Hash(tenant, user), &got) {
			t.Fatal("not there")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
