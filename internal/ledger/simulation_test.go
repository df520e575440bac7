package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// world is what a schedule runs in: the model of the store, and writers that may
// break one rule of the fence so that the test can show that it is needed.
type world struct {
	name       string
	faults     modelFaults
	clockEpoch bool // entries stand in the month of the clock, not of the chain
	noReadBack bool // an acknowledged insert is believed
	hastyBurn  bool // a head that did not move proves a burned token at once
}

const simLog = "agent.events/0"

// TestSimulation runs seeded schedules of several writers that crash, stop for
// minutes and lose messages, over a store that crashes and loses power, all in
// virtual time. AGENTAUDIT_SIM_SEEDS runs more of them, AGENTAUDIT_SIM_SEED one.
func TestSimulation(t *testing.T) {
	if one := os.Getenv("AGENTAUDIT_SIM_SEED"); one != "" {
		seed, err := strconv.ParseUint(one, 10, 64)
		if err != nil {
			t.Fatalf("AGENTAUDIT_SIM_SEED: %v", err)
		}
		if err := simulate(t, world{}, seed); err != nil {
			t.Fatal(err)
		}
		return
	}
	schedules := envInt(t, "AGENTAUDIT_SIM_SEEDS", 4000)
	for seed := range uint64(schedules) {
		if err := simulate(t, world{}, seed); err != nil {
			t.Fatalf("AGENTAUDIT_SIM_SEED=%d: %v", seed, err)
		}
	}
	t.Logf("%d schedules: no fork, no gap, no double, no log that stands still", schedules)
}

// TestSimulationFindsEachMissingCondition turns one condition off at a time. A
// simulation that does not notice would prove nothing about the fence.
func TestSimulationFindsEachMissingCondition(t *testing.T) {
	for _, w := range []world{
		{name: "epoch from the clock", clockEpoch: true, faults: modelFaults{epochsFree: true}},
		{name: "no read-back", noReadBack: true},
		{name: "burned without proof", hastyBurn: true, faults: modelFaults{quietLies: true}},
		{name: "requests outlive their session", faults: modelFaults{noSessions: true}},
		{name: "short deduplication window", faults: modelFaults{shortWindow: true}},
		{name: "no deduplication window", faults: modelFaults{tokensAbsent: true}},
		{name: "insert in two blocks", faults: modelFaults{tornInserts: true}},
	} {
		t.Run(w.name, func(t *testing.T) {
			const enough = 20_000
			for seed := range uint64(enough) {
				if err := simulate(t, w, seed); err != nil {
					t.Logf("found by seed %d: %v", seed, err)
					return
				}
			}
			t.Fatalf("%d schedules did not find it", enough)
		})
	}
}

func envInt(t *testing.T, name string, fallback int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// simulate runs one schedule to its end and checks the log it leaves.
func simulate(t *testing.T, w world, seed uint64) (err error) {
	synctest.Test(t, func(*testing.T) { err = w.run(seed) })
	return err
}

func (w world) run(seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 0))
	records := int64(20 + rng.IntN(60))
	// Half of the schedules begin just before the end of a month.
	if rng.IntN(2) == 0 {
		end := time.Date(2000, 2, 1, 0, 0, 0, 0, time.UTC)
		time.Sleep(time.Until(end.Add(-time.Duration(rng.Int64N(int64(3 * time.Second))))))
	}
	calm := time.Now().Add(20 * time.Minute) // no new faults from then on
	rough := func() bool { return time.Now().Before(calm) }
	m := newModel(w.faults)

	// The end of a schedule is bounded: whoever still works then has met a log that stands still.
	ctx, cancel := context.WithDeadline(context.Background(), calm.Add(2*time.Hour))
	defer cancel()
	var writers, requests sync.WaitGroup
	writers.Go(func() { crashes(ctx, m, rand.New(rand.NewPCG(seed, 1)), rough) }) // ends when it is calm
	for i := range 2 + rng.IntN(3) {
		writers.Go(func() { // ends with its context, or when all records are in
			own := rand.New(rand.NewPCG(seed, uint64(10+i)))
			sw := &simWriter{world: w, rng: own, records: records, rough: rough}
			sw.link = &link{model: m, noReadBack: w.noReadBack, wg: &requests,
				net: &network{rng: own, rough: rough, longer: 15 * time.Minute}}
			sw.run(ctx)
		})
	}
	writers.Wait()
	requests.Wait()
	return m.check(records)
}

// crashes lets the store die again and again, sometimes with a loss of power.
func crashes(ctx context.Context, m *model, rng *rand.Rand, rough func() bool) {
	for {
		pause := time.Duration(rng.Int64N(int64(90 * time.Second)))
		if rng.IntN(3) == 0 {
			pause = time.Duration(rng.Int64N(int64(200 * time.Millisecond)))
		}
		if sleep(ctx, pause) != nil || !rough() {
			return
		}
		m.crash(time.Duration(rng.Int64N(int64(5*time.Second))), rng.IntN(4), rng.IntN(6) == 0)
	}
}

// simWriter is an ingest process reduced to its writing: it dies, starts again,
// and continues at the stored head.
type simWriter struct {
	world   world
	link    *link
	rng     *rand.Rand
	records int64
	rough   func() bool
}

func (sw *simWriter) run(ctx context.Context) {
	for ctx.Err() == nil {
		life, end := context.WithCancel(ctx)
		if sw.rough() {
			life, end = context.WithTimeout(ctx, time.Duration(sw.rng.Int64N(int64(5*time.Minute))))
		}
		done := sw.live(life)
		end()
		if done {
			return
		}
		_ = sleep(ctx, sw.link.net.jitter(5*time.Second)) // the next life sees an ended context itself
	}
}

// live is one life of the process. It reports that every record is in the log.
func (sw *simWriter) live(ctx context.Context) bool {
	cfg := DefaultConfig()
	cfg.MaxExecution = modelMaxExecution
	if sw.world.hastyBurn {
		cfg.MaxExecution = time.Millisecond
	}
	w, err := NewWriter(simLog, cfg, Deps[modelBatch]{Store: sw.link, Anchor: noAnchor})
	if err != nil {
		panic(fmt.Sprintf("the test's own configuration: %v", err))
	}
	defer w.Close()
	for ctx.Err() == nil {
		if err := w.Load(ctx); err != nil {
			return false
		}
		for {
			if w.Head().Next >= sw.records && !sw.rough() {
				return true
			}
			batch := sw.batch(w.Head())
			if batch == nil { // nothing to read at present
				if sleep(ctx, sw.link.net.jitter(10*time.Second)) != nil {
					return false
				}
				break
			}
			err := w.Extend(ctx, batch, batch.head(simLog))
			if errors.Is(err, ErrSuperseded) {
				break
			}
			if err != nil {
				return false
			}
		}
	}
	return false
}

func noAnchor(context.Context, string) (Anchor, bool, error) { return Anchor{}, false, nil }

// batch seals what comes after head: the opening, a change of epoch, or a few records.
func (sw *simWriter) batch(head chain.Head) modelBatch {
	month := epochOf(time.Now())
	row := modelRow{seq: head.Size, prev: head.Leaf, epoch: head.NextEpoch, nextEpoch: head.NextEpoch, offset: -1, next: head.Next}
	switch {
	case head.Size == 0 || month > head.NextEpoch:
		row.nextEpoch = month
		if sw.world.clockEpoch {
			row.epoch = month
		}
		row.leaf = newLeaf(sw.rng, row.prev, row.seq)
		return modelBatch{row}
	case head.Next >= sw.records:
		return nil
	}
	if sw.world.clockEpoch {
		row.epoch = month
	}
	var b modelBatch
	for range 1 + sw.rng.IntN(4) {
		if row.next >= sw.records {
			break
		}
		row.offset, row.next = row.next, row.next+1
		row.leaf = newLeaf(sw.rng, row.prev, row.seq)
		b = append(b, row)
		row.seq, row.prev = row.seq+1, row.leaf
	}
	return b
}

func epochOf(t time.Time) uint32 {
	t = t.UTC()
	return uint32(t.Year()*100 + int(t.Month()))
}
