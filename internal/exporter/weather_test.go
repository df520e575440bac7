package exporter

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// The faults that sealing meets, as in the tests of Sunlight's ctlog: each step fails before and after it took effect, takes effect after it was reported as
// failed, or is the last thing that the process does. The engines are real; what fails is the call.
type (
	step    string
	outcome string
)

// The steps, in their order.
const (
	readCheckpoint step = "read checkpoint"
	readHead       step = "read head entry"
	loadTiles      step = "load tiles"
	scanEntries    step = "scan entries"
	signing        step = "sign"
	stagingTiles   step = "stage tiles"
	swapping       step = "compare-and-swap"
	publishing     step = "publish"
	replacingNote  step = "replace note"
)

// What becomes of a call.
const (
	fine         outcome = ""
	lost         outcome = "lost"
	done         outcome = "done, reported as failed"
	late         outcome = "reported as failed, done later" // writes only, as the next
	last         outcome = "reported as failed, done at the end"
	half         outcome = "ends in the middle"    // scans only
	gap          outcome = "an entry is not shown" // scans only
	killedBefore outcome = "killed before"
	killedAfter  outcome = "killed after"
)

// gapSeq is the entry that a gap does not show.
const gapSeq = 50

var errInjected = errors.New("a fault of the test")

// weather decides what becomes of calls, of any number of exporters, and sees all checkpoints that become visible.
type weather struct {
	rig *rig

	mu      sync.Mutex
	choose  func(s step, log string) outcome
	faults  int
	pending []pendingCall
	seen    map[string]chain.Checkpoint // by text
	floor   map[string]uint64           // by log: no smaller checkpoint may be seen any more
}

// pendingCall takes effect after so many more calls.
type pendingCall struct {
	after int
	do    func()
}

const (
	// lateBy is how many calls a late one waits: the follower that was told of a failure has read the checkpoint again by then.
	lateBy = 2
	// lastBy is more calls than any test makes.
	lastBy = 1 << 30
)

func newWeather(r *rig) *weather {
	w := &weather{rig: r, choose: func(step, string) outcome { return fine }, seen: map[string]chain.Checkpoint{}, floor: map[string]uint64{}}
	r.prepare = func(p *process) {
		f := &faulty{weather: w, process: p, ledger: p.ledger, table: p.table, outbox: p.outbox}
		p.ledger, p.table, p.outbox = faultyLedger{f}, faultyTable{f}, faultyOutbox{f}
		keys := *p.keys.Load()
		keys.signers = slices.Clone(keys.signers)
		for i, signer := range keys.signers {
			keys.signers[i] = faultySigner{signer, f}
		}
		p.keys.Store(&keys)
	}
	return w
}

// set changes the weather.
func (w *weather) set(choose func(s step, log string) outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.choose = choose
}

// clear ends all faults, and lets what is late take effect.
func (w *weather) clear() {
	w.set(func(step, string) outcome { return fine })
	w.mu.Lock()
	due := w.pending
	w.pending = nil
	w.mu.Unlock()
	for _, c := range due {
		c.do()
	}
}

func (w *weather) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.faults
}

// next decides about one call, after those that are due took effect.
func (w *weather) next(s step, log string) outcome {
	w.mu.Lock()
	var due []pendingCall
	for i := range w.pending {
		w.pending[i].after--
	}
	w.pending = slices.DeleteFunc(w.pending, func(c pendingCall) bool {
		if c.after <= 0 {
			due = append(due, c)
		}
		return c.after <= 0
	})
	o := w.choose(s, log)
	if o != fine {
		w.faults++
	}
	w.mu.Unlock()
	for _, c := range due {
		c.do()
	}
	return o
}

// sees opens a checkpoint that somebody could see, and keeps what it says.
func (w *weather) sees(signed []byte) {
	point, _, err := chain.OpenCheckpoint(signed, w.rig.known())
	if err != nil {
		w.rig.t.Errorf("a checkpoint that was visible: %v", err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[point.Text()] = point
}

// check holds all checkpoints that anybody could have seen against what was written: the log's first entries, as they were, and one root for each size.
func (w *weather) check(logs ...*testLog) {
	w.rig.t.Helper()
	for _, signed := range w.rig.topic() {
		w.sees(signed)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range logs {
		roots, tree := []chain.Hash{{}}, chain.NewTree()
		for _, leaf := range l.leaves {
			if err := tree.Append(leaf, func(chain.Tile) error { return nil }); err != nil {
				w.rig.t.Fatal(err)
			}
			roots = append(roots, tree.Root())
		}
		for _, point := range w.seen {
			if point.Log == l.head.Log && (point.Size >= uint64(len(roots)) || point.Root != roots[point.Size]) {
				w.rig.t.Errorf("%s was vouched for at %d entries with root %v, which is not that of its entries", point.Log, point.Size, point.Root)
			}
		}
	}
}

// checkGood waits until a log is covered to its end, by what all systems agree about.
func (w *weather) checkGood(p *process, l *testLog) {
	r := w.rig
	r.t.Helper()
	checkpoint := r.awaitSigned(l)
	if err := p.checkWhole(context.Background(), checkpoint, stepEntries, atOnce); err != nil {
		r.t.Errorf("entries and tiles below the last checkpoint: %v", err)
	}
	testkit.Eventually(r.t, soon, func() bool {
		return slices.ContainsFunc(r.topic(), func(signed []byte) bool {
			point, err := chain.ReadCheckpoint(signed)
			return err == nil && point.Log == l.head.Log && point.Size == l.head.Size
		})
	}, "the last checkpoint is published")
}
