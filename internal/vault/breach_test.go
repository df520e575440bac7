package vault

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

func breach(n byte, due time.Time) Breach {
	return Breach{ID: [16]byte{n}, Reason: "laptop lost", Detected: due.Add(-72 * time.Hour), Due: due, Opened: due.Add(-71 * time.Hour), Scope: "{}", Opening: "[]"}
}

func TestBreaches(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		now := time.Now().UTC().Truncate(time.Microsecond)
		said := func(n byte) Saying { return Saying{EventID: [16]byte{n}, At: now, Record: "{}"} }
		late, soon := breach(1, now.Add(-time.Hour)), breach(2, now.Add(time.Hour))
		soon.Entries = [][16]byte{{1, 2}, {3, 15: 4}}
		for range 2 { // repeated after an unknown outcome
			for _, b := range []Breach{soon, late} {
				if err := v.AddBreach(t.Context(), b, said(b.ID[0])); err != nil {
					t.Fatal(err)
				}
			}
		}
		if list, err := v.Breaches(t.Context()); err != nil || !reflect.DeepEqual(list, []Breach{late, soon}) {
			t.Fatalf("%+v, %v", list, err)
		}
		if _, found, err := v.Breach(t.Context(), [16]byte{9}); err != nil || found {
			t.Errorf("a breach that is none: %v, %v", found, err)
		}
		wantDue := func(want ...BreachDeadline) {
			t.Helper()
			if got, err := v.BreachDeadlines(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%+v, %v; want %+v", got, err, want)
			}
		}
		wantDue(BreachDeadline{late.ID, late.Due}, BreachDeadline{soon.ID, soon.Due})
		subjects, authority := BreachNotice{gdpr.ToSubjects, "letter", now}, BreachNotice{gdpr.ToAuthority, "case 12", now.Add(time.Second)}
		for i, n := range []BreachNotice{subjects, authority} {
			if done, err := v.AddBreachNotice(t.Context(), late.ID, n, said(byte(10+i))); err != nil || !done {
				t.Fatal(done, err)
			}
		}
		wantDue(BreachDeadline{soon.ID, soon.Due}) // who was told
		if list, err := v.BreachNotices(t.Context(), late.ID); err != nil || !reflect.DeepEqual(list, []BreachNotice{subjects, authority}) {
			t.Errorf("%+v, %v", list, err)
		}
		late.Closed, late.Why, late.Report = now, "over", `{"a":1}`
		for _, notices := range []int{0, 1, 3} { // as if the report had been made before, or after, somebody was told
			late.Notices = notices
			if closed, err := v.CloseBreach(t.Context(), late, said(20)); err != nil || closed {
				t.Errorf("closed with a report of %d notices: %v", notices, err)
			}
		}
		late.Notices = 2
		if closed, err := v.CloseBreach(t.Context(), late, said(20)); err != nil || !closed {
			t.Fatal(closed, err)
		}
		if got, found, err := v.Breach(t.Context(), late.ID); err != nil || !found || !reflect.DeepEqual(got, late) {
			t.Errorf("%+v, %v", got, err)
		}
		if closed, err := v.CloseBreach(t.Context(), late, said(21)); err != nil || closed {
			t.Errorf("closed twice: %v", err)
		}
		for _, id := range [][16]byte{late.ID, {9}} {
			if done, err := v.AddBreachNotice(t.Context(), id, subjects, said(22)); err != nil || done {
				t.Errorf("told of a breach that is not open: %v", err)
			}
		}
		soon.Closed, soon.Why, soon.Report = now, "nothing was lost", "{}"
		if closed, err := v.CloseBreach(t.Context(), soon, said(23)); err != nil || !closed {
			t.Fatal(closed, err)
		}
		wantDue()
		noted, err := v.ClaimUnsaid(t.Context(), 100, now, now.Add(time.Minute))
		var ids []byte
		for _, n := range noted {
			ids = append(ids, n.EventID[0])
		}
		if want := []byte{1, 2, 10, 11, 20, 23}; err != nil || string(ids) != string(want) {
			t.Errorf("to be said: %v, %v; want %v", ids, err, want)
		}
	})
}

// Notices at the same time are all kept, in an order without gaps, and a report that lacks one closes nothing.
func TestBreachNoticeRace(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		b := breach(1, time.Now())
		if err := v.AddBreach(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		var told, closed atomic.Int64
		var group sync.WaitGroup
		for g := range 4 {
			group.Go(func() {
				for i := range 10 {
					done, err := v.AddBreachNotice(context.Background(), b.ID, BreachNotice{gdpr.ToSubjects, fmt.Sprint(g, i), time.Now()})
					if err != nil {
						t.Error(err)
					}
					if done {
						told.Add(1)
					}
				}
			})
			group.Go(func() {
				for range 10 {
					now, _, err := v.Breach(context.Background(), b.ID)
					if err != nil {
						t.Error(err)
					}
					now.Closed, now.Why, now.Report = time.Now(), "over", "{}"
					done, err := v.CloseBreach(context.Background(), now)
					if err != nil {
						t.Error(err)
					}
					if done {
						closed.Add(1)
					}
				}
			})
		}
		group.Wait()
		after, _, err := v.Breach(t.Context(), b.ID)
		list, errs := v.BreachNotices(t.Context(), b.ID)
		if err != nil || errs != nil || after.Notices != len(list) || int64(len(list)) != told.Load() || closed.Load() > 1 {
			t.Errorf("%d notices are counted, %d are there, %d were noted; closed %d times; %v, %v", after.Notices, len(list), told.Load(), closed.Load(), err, errs)
		}
	})
}

func TestTooManyNotices(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		b := breach(1, time.Now())
		if err := v.AddBreach(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		b.Notices = maxBreachNotices
		if _, err := v.db.exec(t.Context(), `UPDATE breaches SET notices = ?, mac = ?`, b.Notices, v.mac(&b)); err != nil {
			t.Fatal(err)
		}
		if done, err := v.AddBreachNotice(t.Context(), b.ID, BreachNotice{gdpr.ToSubjects, "r", time.Now()}); done || !errors.Is(err, ErrTooManyNotices) {
			t.Errorf("%v, %v", done, err)
		}
	})
}
