package rules

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/agentaudit/agentaudit/pkg/scan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rulesFile is a file of rules that a test changes.
type rulesFile struct {
	t    testing.TB
	path string
}

func newRulesFile(t testing.TB, text string) *rulesFile {
	f := &rulesFile{t, filepath.Join(t.TempDir(), "rules.yaml")}
	f.write(text)
	return f
}

// write replaces the file, as editors and container platforms do.
func (f *rulesFile) write(text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path+".new", []byte("version: 1\nbuiltin: false\n"+text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(f.path+".new", f.path); err != nil {
		f.t.Fatal(err)
	}
}

// A changed file takes effect; a wrong one is reported once, and the old rules stay; numbers go on meaning the same rules.
func TestReload(t *testing.T) {
	rule := func(id, condition string) string {
		return fmt.Sprintf("  - {id: %s, title: T, severity: low, on: \"*\", event: %s}\n", id, quote(condition))
	}
	f := newRulesFile(t, "rules:\n"+rule("a", `rows > 1`)+rule("b", `rows > 2`))
	var changes int
	var faults []string
	r, err := NewReloader(f.path, func(*Set) { changes++ }, func(err error) { faults = append(faults, err.Error()) })
	if err != nil {
		t.Fatal(err)
	}
	m, ev := r.Matcher(), parseEvent(t, `"rows":3`)
	match := func() string {
		var ids []string
		for _, i := range m.Match(nil, ev, nil, scan.None) {
			ids = append(ids, fmt.Sprintf("%d %s", i, m.Set().Rule(i).ID))
		}
		return strings.Join(ids, " ")
	}
	step := func(what, want string, wantChanges, wantFaults int) {
		t.Helper()
		r.look()
		r.look() // nothing is said twice
		if got := match(); got != want || changes != wantChanges || len(faults) != wantFaults {
			t.Errorf("%s: %q, %d changes, faults %q; want %q, %d and %d", what, got, changes, faults, want, wantChanges, wantFaults)
		}
	}
	step("as it was", "0 a 1 b", 0, 0)
	f.write("rules:\n" + rule("c", `rows > 0`) + rule("b", `rows > 2`))
	step("a is gone, c is new", "1 b 2 c", 1, 0)
	f.write("rules:\n" + rule("c", `rows >`))
	step("not CEL", "1 b 2 c", 1, 1)
	if !strings.Contains(faults[0], f.path+":4: rule c: event: column") {
		t.Error(faults[0])
	}
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	step("no file", "1 b 2 c", 1, 2)
	f.write("lists: {l: {file: l.txt}}\nrules:\n" + rule("a", `tenant in lists.l`))
	step("no list", "1 b 2 c", 1, 3)
	list := filepath.Join(filepath.Dir(f.path), "l.txt")
	if err := os.WriteFile(list, []byte("# tenants\nother\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	step("the list is there", "", 2, 3)
	if err := os.WriteFile(list, []byte("# tenants\nac?e\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	step("the list has changed", "0 a", 3, 3)
	if got := r.Current().Len(); got != 3 {
		t.Errorf("%d numbers", got)
	}
}

// A process does not start with other rules than it was told.
func TestReloaderNeedsItsFile(t *testing.T) {
	if _, err := NewReloader(filepath.Join(t.TempDir(), "none.yaml"), nil, nil); err == nil {
		t.Error("no file was accepted")
	}
	r, err := NewReloader("", nil, nil)
	if err != nil || r.Current().Len() < 20 {
		t.Fatalf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); err != nil {
		t.Error(err)
	}
}

// Matchers of other goroutines go on while the rules change below them, and each answer is that of one set.
func TestReloadWhileMatching(t *testing.T) {
	text := func(limit int) string {
		return fmt.Sprintf("rules:\n  - {id: r, title: T%d, severity: low, on: \"*\", event: 'rows > %d && attributes[\"a\"] == \"b\"'}\n", limit, limit)
	}
	f := newRulesFile(t, text(0))
	r, err := NewReloader(f.path, func(*Set) {}, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 3 {
		ev := parseEvent(t, `"rows":5,"attributes":{"a":"b"}`)
		group.Go(func() { // ends with ctx
			m, forEngine := r.Matcher(), r.ForEngine()
			for ctx.Err() == nil {
				held := m.Match(nil, ev, nil, scan.None)
				limit := 0
				if _, err := fmt.Sscanf(m.Set().Rule(0).Title, "T%d", &limit); err != nil || (len(held) == 1) != (5 > limit) {
					t.Errorf("%v of %s", held, m.Set().Rule(0).Event)
					return
				}
				forEngine.Rule(0)
			}
		})
	}
	for i := range 40 {
		f.write(text(i % 10))
		r.look()
	}
	cancel()
	group.Wait()
}

// Run looks again and again, and ends.
func TestReloaderRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newRulesFile(t, "")
		changed := make(chan *Set, 1)
		r, err := NewReloader(f.path, func(s *Set) { changed <- s }, func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		f.write(eventRule("has_user"))
		start := time.Now()
		if got := <-changed; got.Len() != 1 || time.Since(start) > 2*pollEvery {
			t.Errorf("%d rules after %v", got.Len(), time.Since(start))
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
