package rules

import (
	"context"
	"crypto/sha256"
	"os"
	"sync/atomic"
	"time"
)

// Reloader keeps the rules of a file in effect: it looks at the file and at the lists' files that it names, and replaces the set when they change. Current
// and Matcher are safe for concurrent use, Run is called once.
type Reloader struct {
	path     string
	current  atomic.Pointer[Set]
	changed  func(*Set)
	rejected func(error)

	seen  []stamp // of the last attempt; belongs to Run
	fault string  // what was last rejected; belongs to Run
}

// pollEvery is how often the files are looked at. Notifications of the file system would miss what container platforms do to mounted files.
const pollEvery = 2 * time.Second

// NewReloader loads the rules; an empty path is the built-in ones, and nothing to look at. An error is what Load says: a process is not to start with other
// rules than it was told. Run calls changed with each new set after it is in effect, and rejected with what is wrong with a file, once for each version of
// it; the old rules stay in effect then.
func NewReloader(path string, changed func(*Set), rejected func(error)) (*Reloader, error) {
	r := &Reloader{path: path, changed: changed, rejected: rejected}
	var set *Set
	var err error
	if path == "" {
		set, err = BuiltIn()
	} else {
		set, r.seen, err = load(path)
	}
	if err != nil {
		return nil, err
	}
	r.current.Store(set)
	return r, nil
}

// Current returns the set in effect.
func (r *Reloader) Current() *Set { return r.current.Load() }

// Matcher returns a matcher that takes each new set as soon as it is in effect, between two events.
func (r *Reloader) Matcher() *Matcher {
	m := r.Current().Matcher()
	m.current = &r.current
	return m
}

// Run looks at the files until ctx ends, and returns nil then.
func (r *Reloader) Run(ctx context.Context) error {
	if r.path == "" {
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			r.look()
		}
	}
}

// look loads what has changed.
func (r *Reloader) look() {
	if unchanged(r.seen) {
		return
	}
	set, seen, err := load(r.path)
	r.seen = seen
	if err == nil {
		// The numbers that others hold go on meaning the same rules.
		err = set.after(r.current.Load())
	}
	if err != nil {
		if text := err.Error(); text != r.fault {
			r.fault = text
			r.rejected(err)
		}
		return
	}
	r.fault = ""
	r.current.Store(set)
	r.changed(set)
}

// stamp is a file as it was when it was read.
type stamp struct {
	path     string
	readable bool
	size     int64
	modified time.Time
	settled  bool // not modified just before it was read, so that the time tells a later change
	digest   [sha256.Size]byte
}

// settledAfter is longer than any file system's steps of time.
const settledAfter = 5 * time.Second

// readStamped is readBounded, and how to tell later whether the file has changed.
func readStamped(path string, most int64, stamps *[]stamp) ([]byte, error) {
	s := stamp{path: path}
	now := time.Now()
	// The time before the content: what is written in between then shows as a change.
	if info, err := os.Stat(path); err == nil {
		s.size, s.modified = info.Size(), info.ModTime()
		s.settled = now.Sub(s.modified) > settledAfter
	}
	text, err := readBounded(path, most)
	if err == nil {
		s.readable, s.digest = true, sha256.Sum256(text)
	}
	*stamps = append(*stamps, s)
	return text, err
}

// unchanged tells whether all files are still as they were.
func unchanged(stamps []stamp) bool {
	for i := range stamps {
		s := &stamps[i]
		if info, err := os.Stat(s.path); err == nil && s.readable && s.settled && info.Size() == s.size && info.ModTime().Equal(s.modified) {
			continue
		}
		text, err := readBounded(s.path, maxListFileBytes)
		if (err == nil) != s.readable || err == nil && sha256.Sum256(text) != s.digest {
			return false
		}
	}
	return true
}
