package vault

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// erasure erases a subject for a request, with what was in partition t/0 below 100.
func erasure(request byte, subject gdpr.SubjectID, at time.Time) Erasure {
	return Erasure{
		Request: [16]byte{request}, Subject: subject, At: at,
		Suppression: Suppression{Until: at, Offsets: map[string]int64{"t/0": 100}, Expires: at.Add(time.Hour)},
	}
}

func TestErase(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		keys, _ := newKeyring(t)
		v := openVault(t, cfg, keys)
		ctx := t.Context()
		people := []Identity{{"acme", "mia"}, {"acme", "noah"}}
		subjects, err := v.Subjects(ctx, people)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now().UTC().Truncate(time.Microsecond)

		hold := Hold{ID: [16]byte{7}, Subject: subjects[0].ID, Reason: "lawsuit", Author: "counsel", At: now, Expires: now.Add(time.Hour)}
		for range 2 { // repeated after an unknown outcome
			if err := v.AddHold(ctx, hold); err != nil {
				t.Fatal(err)
			}
		}
		var held *HeldError
		if _, _, err := v.Erase(ctx, erasure(1, subjects[0].ID, now)); !errors.As(err, &held) || held.Hold != hold || strings.Contains(err.Error(), "mia") {
			t.Fatalf("erased in spite of a hold: %v", err)
		}
		if _, found, err := v.Erase(ctx, erasure(9, subjects[0].ID, now.Add(2*time.Hour))); err != nil || !found {
			t.Fatalf("a hold that has expired still holds: %v", err)
		}
		if lifted, err := v.LiftHold(ctx, hold.ID, now); err != nil || !lifted {
			t.Errorf("lifted %v, %v", lifted, err)
		}
		if lifted, err := v.LiftHold(ctx, hold.ID, now); err != nil || lifted {
			t.Errorf("lifted twice: %v, %v", lifted, err)
		}

		done, found, err := v.Erase(ctx, erasure(2, subjects[1].ID, now))
		want := Erased{Subject: subjects[1].ID, KeyID: subjects[1].Keys.ID, At: now}
		if err != nil || !found || done != want {
			t.Fatalf("erased %+v, %v, %v, want %+v", done, found, err, want)
		}
		if again, found, err := v.Erase(ctx, erasure(2, subjects[1].ID, now.Add(time.Minute))); err != nil || !found || again != want {
			t.Errorf("the same request again: %+v, %v, %v", again, found, err)
		}
		if _, found, err := v.Erase(ctx, erasure(3, subjects[1].ID, now)); err != nil || found {
			t.Errorf("erased who is gone: %v, %v", found, err)
		}
		for _, who := range people {
			if _, found, err := v.Find(ctx, who); err != nil || found {
				t.Errorf("still there: %v, %v", found, err)
			}
		}
		// The stranger who comes back is erased like anybody.
		strangers, err := v.Subjects(ctx, people[:1])
		if err != nil || strangers[0].ID == subjects[0].ID {
			t.Fatalf("not a stranger: %v", err)
		}
		later := erasure(4, strangers[0].ID, now.Add(3*time.Hour))
		later.Suppression.Forever = true
		if _, found, err := v.Erase(ctx, later); err != nil || !found {
			t.Errorf("the stranger: %v, %v", found, err)
		}
		if n, err := v.ExpireSuppressions(ctx, now.Add(24*time.Hour)); err != nil || n != 1 {
			t.Errorf("%d suppressions have expired, want noah's: %v", n, err)
		}
	})
}

// An erasure that was prepared too long ago, or before somebody else's hold was ordered, destroys nothing.
func TestOutdatedErasure(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		ctx := t.Context()
		people, err := v.Subjects(ctx, []Identity{{"acme", "mia"}, {"acme", "noah"}})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		hold := Hold{ID: [16]byte{7}, Subject: people[1].ID, Reason: "lawsuit", Author: "counsel", At: now}
		if err := v.AddHold(ctx, hold); err != nil {
			t.Fatal(err)
		}
		e := erasure(1, people[0].ID, now)
		outdated := func(why string) {
			t.Helper()
			if _, _, err := v.Erase(ctx, e); !errors.Is(err, ErrOutdated) {
				t.Errorf("%s: %v", why, err)
			}
			if _, found, err := v.Find(ctx, Identity{"acme", "mia"}); err != nil || !found {
				t.Errorf("%s: %v, %v", why, found, err)
			}
		}
		outdated("a hold that nobody has weighed")
		e.Weighed, e.Before = [][16]byte{hold.ID}, now
		outdated("too late")
		e.Before = now.Add(time.Hour)
		if _, found, err := v.Erase(ctx, e); err != nil || !found {
			t.Errorf("%v, %v", found, err)
		}
	})
}

// An erasure that has destroyed cannot be cancelled: its record would never come, and a restored vault would bring the person back.
func TestCancelDestroyed(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		ctx, now := t.Context(), time.Now()
		people, err := v.Subjects(ctx, []Identity{{"acme", "mia"}})
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := v.AddRequest(ctx, Request{
			ID: [16]byte{1}, Caller: "1", Kind: gdpr.RequestErasure, State: gdpr.StateVerified, Options: "{}", VerifiedBy: "test", Received: now, Due: now.Add(time.Hour),
		}, Identity{"acme", "mia"})
		if err != nil {
			t.Fatal(err)
		}
		if taken, err := v.ClaimRequest(ctx, r.ID, now, now.Add(time.Minute)); err != nil || !taken {
			t.Fatal(taken, err)
		}
		if _, _, err := v.Erase(ctx, erasure(1, people[0].ID, now)); err != nil {
			t.Fatal(err)
		}
		if waits, err := v.DeferRequest(ctx, r.ID, "the log does not answer", now, now); err != nil || !waits {
			t.Fatal(waits, err)
		}
		if done, err := v.CancelRequest(ctx, r.ID, "a mistake", now); err != nil || done {
			t.Errorf("cancelled after the destruction: %v, %v", done, err)
		}
		if open, err := v.OpenRequests(ctx, now); err != nil || len(open) != 1 {
			t.Errorf("%d requests to be carried on: %v", len(open), err)
		}
	})
}

// What was claimed, or put off, while a clock ran ahead by years is not stuck for years.
func TestClaimsOfAClockThatRanAhead(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		ctx, now := t.Context(), time.Now()
		ahead := now.AddDate(4, 0, 0)
		add := func(n byte) [16]byte {
			t.Helper()
			id := [16]byte{n}
			if _, _, err := v.AddRequest(ctx, Request{
				ID: id, Caller: string('a' + rune(n)), Kind: gdpr.RequestErasure, State: gdpr.StateVerified, Options: "{}", VerifiedBy: "test", Received: now, Due: now,
			}, Identity{"acme", "mia"}, Saying{EventID: id, At: now, Record: "{}"}); err != nil {
				t.Fatal(err)
			}
			if taken, err := v.ClaimRequest(ctx, id, ahead, ahead.Add(time.Minute)); err != nil || !taken {
				t.Fatal(taken, err)
			}
			return id
		}
		claimed, waiting := add(1), add(2)
		if done, err := v.DeferRequest(ctx, waiting, "interrupted", ahead.Add(time.Second), ahead); err != nil || !done {
			t.Fatal(done, err)
		}
		if said, err := v.ClaimUnsaid(ctx, 10, ahead, ahead.Add(time.Minute)); err != nil || len(said) != 2 {
			t.Fatal(said, err)
		}
		if open, err := v.OpenRequests(ctx, now); err != nil || len(open) != 2 {
			t.Errorf("%d requests can be worked at: %v", len(open), err)
		}
		for _, id := range [][16]byte{claimed, waiting} {
			if taken, err := v.ClaimRequest(ctx, id, now, now.Add(time.Minute)); err != nil || !taken {
				t.Errorf("request %d: %v, %v", id[0], taken, err)
			}
			if taken, err := v.ClaimRequest(ctx, id, now, now.Add(time.Minute)); err != nil || taken {
				t.Errorf("request %d twice: %v, %v", id[0], taken, err)
			}
		}
		if said, err := v.ClaimUnsaid(ctx, 10, now, now.Add(time.Minute)); err != nil || len(said) != 2 {
			t.Errorf("%d things can be said: %v", len(said), err)
		}
		if said, err := v.ClaimUnsaid(ctx, 10, now, now.Add(time.Minute)); err != nil || len(said) != 0 {
			t.Errorf("claimed twice: %v", err)
		}
	})
}

// With SQLite no byte of who was erased is in any file of the vault.
func TestErasedIsInNoFile(t *testing.T) {
	keys, _ := newKeyring(t)
	dir := t.TempDir()
	v := openVault(t, Config{Driver: DriverSQLite, DSN: filepath.Join(dir, "vault.db"), Deployment: "test"}, keys)
	subjects, err := v.Subjects(t.Context(), []Identity{{"acme", "mia"}})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := collect(t.Context(), v.db.read, scanSubject, subjectColumns+"1 = 1")
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	if _, _, err := v.Erase(t.Context(), erasure(1, subjects[0].ID, time.Now())); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, rows[0].keys) || bytes.Contains(content, rows[0].identity) {
			t.Errorf("%s holds the wrapped keys or identity", file.Name())
		}
	}
}

// A cache learns of erasures before it gives anybody out: the erased are not created again for what is from before, and strangers are for what is not.
func TestErasedDoesNotComeBack(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		keys, _ := newKeyring(t)
		v := openVault(t, cfg, keys)
		c := runCache(t, v)
		mia := Identity{"acme", "mia"}
		resolve(t, c, mia)
		h := lookup(c, mia)
		var before CachedSubject
		if !c.Get(h, &before) || c.Suppressed(h) != nil {
			t.Fatal("not there, or suppressed")
		}
		if _, _, err := v.Erase(t.Context(), erasure(1, before.ID, time.Now())); err != nil {
			t.Fatal(err)
		}
		awaitGone(t, c, h)
		s := c.Suppressed(h)
		if s == nil || !s.Covers("t/0", 99, time.Now().Add(time.Hour).UnixMicro()) || s.Covers("t/0", 100, time.Now().Add(time.Hour).UnixMicro()) ||
			!s.Covers("t/0", 100, 0) || s.Covers("t/1", 0, time.Now().Add(time.Hour).UnixMicro()) {
			t.Fatalf("suppression %+v", s)
		}
		// A cache of another process that has not heard of it: the first question creates nobody.
		other := runCache(t, v)
		other.late.Store(&suppressions{})
		resolve(t, other, mia)
		var after CachedSubject
		if other.Get(h, &after) || other.Suppressed(h) == nil {
			t.Fatal("brought back by a cache that had not heard of the erasure")
		}
		if _, found, err := v.Find(t.Context(), mia); err != nil || found {
			t.Fatalf("somebody was created: %v", err)
		}
		// Whoever still asks has a record that is not covered.
		resolve(t, other, mia)
		if !other.Get(h, &after) || after.ID == before.ID {
			t.Error("no stranger for what came later")
		}
	})
}

// However erasure, creation and caches meet: who knows of no erasure never gets the stranger that came after it.
func TestEraseWhileCreating(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		keys, _ := newKeyring(t)
		v := openVault(t, cfg, keys)
		mia := Identity{"acme", "mia"}
		for round := range 30 {
			subjects, err := v.Subjects(t.Context(), []Identity{mia})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.db.exec(t.Context(), `DELETE FROM suppressions`); err != nil {
				t.Fatal(err)
			}
			var group sync.WaitGroup
			group.Go(func() {
				if _, _, err := v.Erase(context.Background(), erasure(byte(round+1), subjects[0].ID, time.Now())); err != nil {
					t.Error(err)
				}
			})
			for range 3 {
				group.Go(func() {
					found, _, late, err := v.subjects(context.Background(), []Identity{mia}, nil)
					if err != nil {
						t.Error(err)
						return
					}
					if found[0].ID != subjects[0].ID && found[0].ID != (gdpr.SubjectID{}) {
						t.Errorf("round %d: a stranger, and %d suppressions", round, len(late))
					}
				})
			}
			group.Wait()
		}
	})
}

// runCache returns a cache that runs and has a lease.
func runCache(t *testing.T, v *Vault) *Cache {
	t.Helper()
	c := newCache(t, v, 200*time.Millisecond)
	t.Cleanup(running(t, c))
	if err := c.AwaitLease(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// awaitGone waits until a cache has dropped somebody, with a lease that is valid again.
func awaitGone(t *testing.T, c *Cache, h LookupHash) {
	t.Helper()
	var subject CachedSubject
	testkit.Eventually(t, 10*time.Second, func() bool { return c.Suppressed(h) != nil && !c.Get(h, &subject) && c.LeaseValid() }, "the cache has dropped somebody")
}
