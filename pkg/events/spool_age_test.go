package events

import (
	"errors"
	"os"
	"testing"
	"time"
)

// clocks are two clocks that a test sets.
type clocks struct{ at moment }

func (c *clocks) run(d time.Duration) { c.at.wall += d; c.at.up += d }

const week = 7 * 24 * time.Hour

// watched is an emitter that does nothing but decide about ages.
func watched(t *testing.T) (*Emitter, *clocks) {
	t.Helper()
	c := &clocks{}
	a := newAgeWatch(week, quiet())
	c.at = a.steady
	a.now = func() moment { return c.at }
	return &Emitter{cfg: EmitterConfig{SpoolMaxAge: week}, log: quiet(), ages: a}, c
}

// drops says whether the emitter gives an event of the spool up now.
func drops(e *Emitter, r spoolRecord) bool {
	w := &window{fromSpool: true, items: []item{{spoolRecord: r}}}
	return len(e.dropOld(w, w.items)) == 0
}

// TestExpiryIgnoresJumpsForOwnEvents: NTP after a start in 1970, and a clock that
// is a month ahead for a moment.
func TestExpiryIgnoresJumpsForOwnEvents(t *testing.T) {
	e, c := watched(t)
	own := spoolRecord{timeMillis: e.ages.stamp(e.ages.start.Add(c.at.up))}
	for _, jump := range []time.Duration{56 * 365 * 24 * time.Hour, 30 * 24 * time.Hour, -30 * 24 * time.Hour} {
		c.at.wall += jump
		for range 5 {
			if drops(e, own) {
				t.Fatalf("given up after a jump by %s", jump)
			}
			c.run(time.Hour)
		}
	}
	c.run(week - 16*time.Hour)
	if drops(e, own) {
		t.Error("given up before its time")
	}
	c.run(2 * time.Hour)
	if !drops(e, own) {
		t.Error("not given up after a week")
	}
}

func TestExpiryOfInheritedEvents(t *testing.T) {
	e, c := watched(t)
	old := spoolRecord{inherited: true, wallMillis: (c.at.wall - 8*24*time.Hour).Milliseconds()}
	young := spoolRecord{inherited: true, wallMillis: (c.at.wall - time.Hour).Milliseconds()}
	expect := func(when string, r spoolRecord, want bool) {
		t.Helper()
		if got := drops(e, r); got != want {
			t.Errorf("%s: given up is %v, want %v", when, got, want)
		}
	}
	expect("at the start", old, false)
	c.run(59 * time.Minute)
	expect("before the grace is over", old, false)
	c.at.wall += 8 * 24 * time.Hour
	expect("the clock jumps", young, false)
	c.run(time.Second)
	c.at.wall -= 8 * 24 * time.Hour
	expect("the clock jumps back", young, false)
	c.run(59 * time.Minute)
	expect("before the new grace is over", old, false)
	c.run(2 * time.Minute)
	expect("the clock was steady for the grace", old, true)
	expect("the clock was steady for the grace", young, false)

	// A clock that is never steady only delays it.
	future := spoolRecord{inherited: true, wallMillis: (c.at.wall + 365*24*time.Hour).Milliseconds()}
	for range 7*24 - 3 {
		c.run(time.Hour)
		c.at.wall += 2 * time.Minute
		expect("the clock jumps all the time", young, false)
		expect("the clock jumps all the time", future, false)
	}
	c.run(3 * time.Hour)
	expect("it lay here for a week", young, true)
	expect("it lay here for a week", future, true)
}

// TestSpoolAgeOfInherited: an earlier process's events are as old as its last
// write to the segment says, whatever its clock said.
func TestSpoolAgeOfInherited(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenSpool(t, dir, 1<<20)
	mustAppend(t, s, 0, 3) // one millisecond apart, in 2023
	if got, err := s.read(1, 1<<20); err != nil || got[0].inherited {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	written := time.UnixMilli(1_800_000_000_000)
	if err := os.Chtimes(segmentFiles(t, dir)[0], written, written); err != nil {
		t.Fatal(err)
	}
	s = mustOpenSpool(t, dir, 1<<20)
	got, err := s.read(3, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i, rec := range got {
		if want := written.UnixMilli() - int64(2-i); !rec.inherited || rec.wallMillis != want {
			t.Errorf("record %d: accepted at %d, want %d", i, rec.wallMillis, want)
		}
	}
}

// TestExpiredIsTold: OnDrop gets the event and why.
func TestExpiredIsTold(t *testing.T) {
	e, c := watched(t)
	var told error
	e.deps.OnDrop = func(_ []byte, err error) { told = err }
	own := spoolRecord{timeMillis: e.ages.stamp(e.ages.start)}
	c.run(week + time.Second)
	if !drops(e, own) || !errors.Is(told, ErrExpired) || e.counters.Expired != 1 {
		t.Errorf("told %v, counted %d", told, e.counters.Expired)
	}
}
