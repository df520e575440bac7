package vault

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

func TestRestrictions(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		now := time.Now()
		said := func(n byte) Saying { return Saying{EventID: [16]byte{n}, At: now, Record: "{}"} }
		subjects := subjectsOf(t, v, people(0, 3)...)
		ids := []gdpr.SubjectID{subjects[0].ID, subjects[1].ID, subjects[2].ID, {9}}
		want := func(want ...gdpr.SubjectID) {
			t.Helper()
			marked, err := v.Restricted(t.Context(), ids)
			if err != nil || len(marked) != len(want) {
				t.Fatalf("%v, %v; want %v", marked, err, want)
			}
			for _, id := range want {
				if !marked[id] {
					t.Errorf("%v is not restricted", id)
				}
			}
		}
		want()
		for i, id := range ids[:2] {
			for range 2 { // repeated after an unknown outcome
				if found, err := v.Restrict(t.Context(), id, [16]byte{byte(i)}, now, said(byte(i+1))); err != nil || !found {
					t.Fatal(found, err)
				}
			}
		}
		if found, err := v.Restrict(t.Context(), ids[1], [16]byte{5}, now, said(5)); err != nil || !found { // by another request as well
			t.Fatal(found, err)
		}
		if found, err := v.Restrict(t.Context(), ids[3], [16]byte{6}, now, said(6)); err != nil || found {
			t.Errorf("nobody is restricted: %v, %v", found, err)
		}
		want(ids[0], ids[1])
		if lifted, err := v.Unrestrict(t.Context(), ids[1], now, said(3)); err != nil || !lifted {
			t.Fatal(lifted, err)
		}
		if lifted, err := v.Unrestrict(t.Context(), ids[1], now, said(7)); err != nil || lifted {
			t.Errorf("lifted twice: %v", err)
		}
		want(ids[0])
		// What is over is known, and does not begin again by the same request.
		if requests, err := v.KnownRestrictions(t.Context(), [][16]byte{{0}, {1}, {5}, {6}}); err != nil || len(requests) != 3 || requests[[16]byte{6}] {
			t.Errorf("%v, %v", requests, err)
		}
		if found, err := v.Restrict(t.Context(), ids[1], [16]byte{1}, now, said(8)); err != nil || !found {
			t.Fatal(found, err)
		}
		want(ids[0])
		if _, _, err := v.Erase(t.Context(), erasure(1, ids[0], now)); err != nil {
			t.Fatal(err)
		}
		want()
		if n, err := v.Traces(t.Context(), ids[0], subjects[0].Keys.ID); err != nil || n != 0 {
			t.Errorf("%d traces, %v", n, err)
		}
		noted, err := v.ClaimUnsaid(t.Context(), 100, now, now.Add(time.Minute))
		if err != nil || len(noted) != 4 {
			t.Errorf("%d are to be said, want 4, %v", len(noted), err)
		}
	})
}

// However erasures and restrictions meet, no mark is left of somebody who is gone.
func TestRestrictWhileErasing(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		for round := range 30 {
			subject := subjectsOf(t, v, Identity{"acme", "mia"})[0]
			var group sync.WaitGroup
			group.Go(func() {
				if _, _, err := v.Erase(context.Background(), erasure(byte(round+1), subject.ID, time.Now())); err != nil {
					t.Error(err)
				}
			})
			group.Go(func() {
				if _, err := v.Restrict(context.Background(), subject.ID, [16]byte{1}, time.Now()); err != nil {
					t.Error(err)
				}
			})
			group.Wait()
			if marked, err := v.Restricted(t.Context(), []gdpr.SubjectID{subject.ID}); err != nil || len(marked) != 0 {
				t.Fatalf("round %d: somebody who is gone is restricted, %v", round, err)
			}
		}
	})
}
