package vault

import (
	"database/sql"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// followedTables are what a lost commit that creates or destroys subjects takes with it.
var followedTables = []string{"subjects", "change_counter", "changes"}

// backUp keeps the state of a vault. The returned function puts it back, as a restored backup or a standby that missed commits would.
func backUp(t testing.TB, v *Vault) (restore func()) {
	t.Helper()
	run := func(statements func(table string) []string) {
		t.Helper()
		err := v.db.once(t.Context(), func(tx *sql.Tx) error {
			for _, table := range followedTables {
				for _, statement := range statements(table) {
					if _, err := tx.ExecContext(t.Context(), statement); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	run(func(table string) []string {
		return []string{"CREATE TABLE saved_" + table + " AS SELECT * FROM " + table}
	})
	return func() {
		t.Helper()
		run(func(table string) []string {
			return []string{"DELETE FROM " + table, "INSERT INTO " + table + " SELECT * FROM saved_" + table}
		})
	}
}

// The database loses its newest commits: within a lease the cache hands out nobody who is lost, whatever has happened to the database since, and Resolve
// makes them anew.
func TestVaultThatWentBackInTime(t *testing.T) {
	old, lost, others := Identity{"acme", "old"}, Identity{"acme", "lost"}, people(0, 20)
	f := func(name string, test func(t *testing.T, v, other *Vault, c *Cache, restore func())) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, cfg Config) {
				keys, _ := newKeyring(t)
				v, other := openVault(t, cfg, keys), openVault(t, cfg, keys)
				c := newCache(t, v, time.Hour)
				c.renew(t.Context())
				resolve(t, c, old)
				c.renew(t.Context())
				test(t, v, other, c, backUp(t, v))
				c.renew(t.Context())
				var got CachedSubject
				if c.Get(lookup(c, lost), &got) {
					t.Error("sealing goes on under keys that nobody has")
				}
				resolve(t, c, old, lost)
				c.renew(t.Context())
				want := subjectsOf(t, other, old, lost)
				for i, id := range []Identity{old, lost} {
					if !c.Get(lookup(c, id), &got) || got.ID != want[i].ID {
						t.Errorf("%s is not the vault's subject", id.User)
					}
				}
				if len(c.ahead) != 0 || len(c.resolving) != 0 {
					t.Errorf("%d points ahead and %d calls of Resolve are left", len(c.ahead), len(c.resolving))
				}
			})
		})
	}
	f("to before what was followed", func(t *testing.T, _, _ *Vault, c *Cache, restore func()) {
		resolve(t, c, lost)
		c.renew(t.Context())
		restore()
	})
	f("to what was followed", func(t *testing.T, _, _ *Vault, c *Cache, restore func()) {
		resolve(t, c, lost)
		restore()
	})
	f("and on to the same number", func(t *testing.T, _, other *Vault, c *Cache, restore func()) {
		resolve(t, c, lost)
		c.renew(t.Context())
		restore()
		subjectsOf(t, other, others[0])
	})
	f("and on to the same number, before it was followed", func(t *testing.T, _, other *Vault, c *Cache, restore func()) {
		resolve(t, c, lost)
		restore()
		subjectsOf(t, other, others[0])
	})
	f("and on to a higher number", func(t *testing.T, _, other *Vault, c *Cache, restore func()) {
		resolve(t, c, lost)
		restore()
		for _, id := range others {
			subjectsOf(t, other, id)
		}
	})
	f("and on to a higher number, after it was followed", func(t *testing.T, _, other *Vault, c *Cache, restore func()) {
		resolve(t, c, lost)
		c.renew(t.Context())
		restore()
		for _, id := range others {
			subjectsOf(t, other, id)
		}
	})
	f("and this cache creates people on both histories in one lease", func(t *testing.T, _, other *Vault, c *Cache, restore func()) {
		resolve(t, c, lost)
		restore()
		subjectsOf(t, other, others[0], others[1])
		resolve(t, c, others[2])
		resolve(t, c, others[3])
	})
	f("by a destruction", func(t *testing.T, v, other *Vault, c *Cache, restore func()) {
		gone := subjectsOf(t, other, old)[0]
		if err := v.Destroy(t.Context(), gone.ID); err != nil {
			t.Fatal(err)
		}
		resolve(t, c, lost)
		c.renew(t.Context())
		restore()
	})
	f("while rows are on the way", func(t *testing.T, _, other *Vault, c *Cache, restore func()) {
		r := c.begin()
		keys, list, seen := readFor(t, c, lost)
		restore()
		c.renew(t.Context())
		if c.end(r, keys, list, seen) {
			c.renew(t.Context())
		}
	})
	f("while rows are on the way, and others were followed", func(t *testing.T, _, other *Vault, c *Cache, restore func()) {
		r := c.begin()
		keys, list, seen := readFor(t, c, lost)
		restore()
		for _, id := range others {
			subjectsOf(t, other, id)
		}
		c.renew(t.Context()) // which nobody could tell from an ordinary vault
		if c.end(r, keys, list, seen) {
			t.Error("rows of another history were taken")
		}
	})
	f("before rows are read", func(t *testing.T, _, _ *Vault, c *Cache, restore func()) {
		resolve(t, c, lost)
		c.renew(t.Context())
		restore()
		// Somebody is created at the number that was followed: only the mark tells.
		if err := c.Resolve(t.Context(), others[:1], c.Late()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Resolve: %v", err)
		}
	})
}

// The same with a cache that runs, and its clock.
func TestLostSubjectLeavesTheCacheWithinALease(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		c := newCache(t, v, 0)
		running(t, c)
		restore := backUp(t, v)
		lost := Identity{"acme", "lost"}
		resolve(t, c, lost)
		var before, got CachedSubject
		testkit.Eventually(t, soon, func() bool { return c.Get(lookup(c, lost), &before) }, "the subject is cached")
		restore()
		restored := time.Now()
		testkit.Eventually(t, soon, func() bool {
			asked := time.Since(restored)
			if !c.Get(lookup(c, lost), &got) {
				return c.lease.valid()
			}
			if asked > defaultLease {
				t.Fatalf("still handed out %v after the loss", asked)
			}
			return false
		}, "the lost subject leaves the cache")
		testkit.Eventually(t, soon, func() bool {
			resolve(t, c, lost)
			return c.Get(lookup(c, lost), &got)
		}, "the subject is there again")
		if got.ID == before.ID || got.ID != subjectsOf(t, v, lost)[0].ID {
			t.Error("not made anew")
		}
	})
}

// Creating people is followed without wiping anybody, also over many changes and their pruning.
func TestChangesOfOthersKeepTheCache(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		keys, _ := newKeyring(t)
		v, other := openVault(t, cfg, keys), openVault(t, cfg, keys)
		c := newCache(t, v, time.Hour)
		c.renew(t.Context())
		resolve(t, c, people(0, 10)...)
		for n := range 3 * pruneEvery / 2 {
			subjectsOf(t, other, people(100+n, 1)...)
			if n%20 == 0 {
				r := c.begin()
				keys, list, seen := readFor(t, c, people(100+n, 1)...)
				subjectsOf(t, other, people(1000+n, 1)...)
				c.renew(t.Context())
				if !c.end(r, keys, list, seen) {
					t.Fatal("rows that were read before others' changes were refused")
				}
			}
			// All that there is becomes old.
			if _, err := v.db.exec(t.Context(), `UPDATE changes SET at_micros = 1`); err != nil {
				t.Fatal(err)
			}
			c.renew(t.Context())
			if c.Len() < 10 {
				t.Fatalf("after %d changes %d subjects are left", n+1, c.Len())
			}
		}
		var kept, newest int64
		err := v.db.read.QueryRowContext(t.Context(), `SELECT count(*), max(change) FROM changes`).Scan(&kept, &newest)
		if now, _ := v.present(t.Context()); err != nil || kept > pruneEvery || newest != now.number || now != c.applied {
			t.Errorf("%d changes kept up to %d, the vault is at %d, the cache at %d, %v", kept, newest, now.number, c.applied.number, err)
		}
	})
}

// Too much has happened to follow: the cache starts again.
func TestCacheThatWasAwayTooLong(t *testing.T) {
	v := newVault(t, emptyDatabase(t, DriverSQLite))
	c := newCache(t, v, time.Hour)
	c.renew(t.Context())
	resolve(t, c, people(0, 10)...)
	c.renew(t.Context())
	add := func(n int) {
		t.Helper()
		_, err := v.db.exec(t.Context(), `WITH RECURSIVE more (n) AS (SELECT changes + 1 FROM change_counter UNION ALL SELECT n + 1 FROM more LIMIT ?)
			INSERT INTO changes SELECT n, randomblob(16), NULL, 1 FROM more`, n)
		if err == nil {
			_, err = v.db.exec(t.Context(), `UPDATE change_counter SET (changes, mark) = (SELECT change, mark FROM changes ORDER BY change DESC LIMIT 1)`)
		}
		if err != nil {
			t.Fatal(err)
		}
		c.renew(t.Context())
		if now, err := v.present(t.Context()); err != nil || c.applied != now {
			t.Errorf("followed to %d, the vault is at %d, %v", c.applied.number, now.number, err)
		}
	}
	add(maxFollowed)
	if c.Len() != 10 {
		t.Errorf("%d subjects left after %d changes", c.Len(), maxFollowed)
	}
	add(maxFollowed + 1)
	if c.Len() != 0 {
		t.Errorf("%d subjects left although not all changes are known", c.Len())
	}
}

// Another file lies where the vault's was, or none: what is open is abandoned, and whoever goes on with it would seal under keys that nobody finds again.
func TestSQLiteFileReplaced(t *testing.T) {
	f := func(name string, replace func(t *testing.T, path string), want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			cfg := emptyDatabase(t, DriverSQLite)
			v := newVault(t, cfg)
			c := newCache(t, v, 200*time.Millisecond)
			running(t, c)
			known, stranger := Identity{"acme", "known"}, Identity{"acme", "stranger"}
			resolve(t, c, known)
			replace(t, cfg.DSN)
			check := func(doing string, err error) {
				t.Helper()
				if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), cfg.DSN) || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v", doing, err)
				}
			}
			var got CachedSubject
			testkit.Eventually(t, soon, func() bool { return !c.Get(lookup(c, known), &got) }, "the lease runs out")
			_, err := v.Subjects(t.Context(), []Identity{stranger})
			check("Subjects", err)
			check("Destroy", v.Destroy(t.Context(), gdpr.SubjectID{1}))
			_, err = v.CompareAndSwapCheckpoint(t.Context(), "l/0", 0, Checkpoint{Log: "l/0", Size: 1})
			check("CompareAndSwapCheckpoint", err)
			check("Ping", v.Ping(t.Context()))
			check("lease", c.catchUp(t.Context()))
		})
	}
	rename := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	f("deleted", func(t *testing.T, path string) { rename(t, path, path+".old") }, "put it back")
	f("replaced", func(t *testing.T, path string) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+".new", data, 0o600); err != nil {
			t.Fatal(err)
		}
		rename(t, path+".new", path)
	}, "restart")
}
