package vault

import (
	"errors"
	"testing"
	"time"
)

// What is to be said is there with the change and not without it, is claimed by one at a time, and is gone once it was said.
func TestOutbox(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		now := time.Now()
		said := func(n byte) Saying {
			return Saying{EventID: [16]byte{n}, At: now.Add(time.Duration(n) * time.Second), Record: "{}"}
		}
		hold := Hold{ID: [16]byte{1}, Subject: [16]byte{2}, Reason: "r", Author: "a", At: now}
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		check(v.AddHold(t.Context(), hold, said(1)))
		check(v.AddHold(t.Context(), hold, said(9))) // is there already: nothing has changed
		lifted, err := v.LiftHold(t.Context(), hold.ID, now, said(2))
		if err != nil || !lifted {
			t.Fatal(lifted, err)
		}
		if again, err := v.LiftHold(t.Context(), hold.ID, now, said(8)); err != nil || again {
			t.Fatal(again, err)
		}
		first, err := v.ClaimUnsaid(t.Context(), 10, now, now.Add(time.Minute))
		if err != nil || len(first) != 2 || first[0].EventID != said(1).EventID || first[1].EventID != said(2).EventID || first[1].Record != "{}" {
			t.Fatalf("%+v, %v", first, err)
		}
		if other, err := v.ClaimUnsaid(t.Context(), 10, now, now.Add(time.Minute)); err != nil || len(other) != 0 {
			t.Errorf("claimed twice: %+v, %v", other, err)
		}
		if late, err := v.ClaimUnsaid(t.Context(), 10, now.Add(2*time.Minute), now.Add(3*time.Minute)); err != nil || len(late) != 2 {
			t.Errorf("left alone by who had claimed it: %+v, %v", late, err)
		}
		check(v.Said(t.Context(), first))
		if left, err := v.ClaimUnsaid(t.Context(), 10, now.Add(time.Hour), now.Add(2*time.Hour)); err != nil || len(left) != 0 {
			t.Errorf("%+v, %v", left, err)
		}
		// A change that fails leaves nothing to say.
		if err := v.AddHold(t.Context(), Hold{}, said(7)); err == nil || errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
		if left, err := v.ClaimUnsaid(t.Context(), 10, now.Add(time.Hour), now.Add(2*time.Hour)); err != nil || len(left) != 0 {
			t.Errorf("%+v, %v", left, err)
		}
	})
}
