package exporter

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
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

// faulty is one exporter's way to its systems.
type faulty struct {
	weather *weather
	process *process
	ledger  ledger
	table   table
	outbox  outbox

	mu   sync.Mutex
	dead bool // the process was killed: nothing that it does has an effect
}

// meet makes a call, or what the weather makes of it.
func meet[T any](ctx context.Context, f *faulty, s step, log string, do func(ctx context.Context) (T, error)) (result T, err error) {
	var none T
	if f.isDead() {
		return none, context.Canceled
	}
	switch o := f.weather.next(s, log); o {
	case fine:
		return do(ctx)
	case done:
		if _, err := do(ctx); err != nil {
			return none, err
		}
	case late, last:
		by := lateBy
		if o == last {
			by = lastBy
		}
		free := context.WithoutCancel(ctx)
		f.weather.mu.Lock()
		f.weather.pending = append(f.weather.pending, pendingCall{by, func() { _, _ = do(free) }}) // nobody hears what came of it
		f.weather.mu.Unlock()
	case killedBefore:
		f.die()
		return none, context.Canceled
	case killedAfter:
		_, err := do(ctx)
		f.die()
		return none, errors.Join(context.Canceled, err)
	}
	return none, errInjected
}

func (f *faulty) isDead() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

func (f *faulty) die() {
	f.mu.Lock()
	f.dead = true
	f.mu.Unlock()
	f.process.cancel()
}

// killed says whether a process was.
func (p *process) killed() bool { return p.ledger.(faultyLedger).isDead() }

type faultyLedger struct{ *faulty }

func (f faultyLedger) Deployment() string { return f.ledger.Deployment() }

func (f faultyLedger) Checkpoint(ctx context.Context, log string) (vault.Checkpoint, bool, error) {
	type answer struct {
		checkpoint vault.Checkpoint
		found      bool
	}
	a, err := meet(ctx, f.faulty, readCheckpoint, log, func(ctx context.Context) (a answer, err error) {
		a.checkpoint, a.found, err = f.ledger.Checkpoint(ctx, log)
		return a, err
	})
	return a.checkpoint, a.found, err
}

func (f faultyLedger) CompareAndSwapCheckpoint(ctx context.Context, log string, oldSize uint64, next vault.Checkpoint) (bool, error) {
	defer f.ask(log)
	return meet(ctx, f.faulty, swapping, log, func(ctx context.Context) (bool, error) {
		swapped, err := f.ledger.CompareAndSwapCheckpoint(ctx, log, oldSize, next)
		if swapped {
			f.weather.sees([]byte(next.Note))
		}
		return swapped, err
	})
}

func (f faultyLedger) ReplaceNote(ctx context.Context, c vault.Checkpoint, note string) error {
	defer f.ask(c.Log)
	_, err := meet(ctx, f.faulty, replacingNote, c.Log, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, f.ledger.ReplaceNote(ctx, c, note)
	})
	return err
}

// ask looks at the log's checkpoint over HTTP, as anybody can at any time. It never goes back.
func (f faultyLedger) ask(log string) {
	f.weather.mu.Lock()
	floor := f.weather.floor[log]
	f.weather.mu.Unlock()
	w := httptest.NewRecorder()
	f.process.Handler().ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, logPrefix+log+"/checkpoint", nil))
	if w.Code != http.StatusOK {
		return
	}
	f.weather.sees(w.Body.Bytes())
	point, err := chain.ReadCheckpoint(w.Body.Bytes())
	if err != nil || point.Size < floor {
		f.weather.rig.t.Errorf("the checkpoint of %s went back from %d entries to %d (%v)", log, floor, point.Size, err)
	}
	f.weather.mu.Lock()
	defer f.weather.mu.Unlock()
	f.weather.floor[log] = max(f.weather.floor[log], point.Size)
}

type faultyTable struct{ *faulty }

func (f faultyTable) EntryAt(ctx context.Context, log string, seq uint64) ([]byte, error) {
	return meet(ctx, f.faulty, readHead, log, func(ctx context.Context) ([]byte, error) { return f.table.EntryAt(ctx, log, seq) })
}

func (f faultyTable) TileHashes(ctx context.Context, log string, place chain.TilePlace) ([]byte, error) {
	return meet(ctx, f.faulty, loadTiles, log, func(ctx context.Context) ([]byte, error) { return f.table.TileHashes(ctx, log, place) })
}

func (f faultyTable) StageTiles(ctx context.Context, log string, tiles []store.StoredTile) error {
	if len(tiles) == 0 {
		return nil // no call
	}
	_, err := meet(ctx, f.faulty, stagingTiles, log, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, f.table.StageTiles(ctx, log, tiles)
	})
	return err
}

// ScanLinks hands out entries before it fails: "done" all of them, "half" some.
func (f faultyTable) ScanLinks(ctx context.Context, log string, from uint64, fn func(*store.Scanned) error) error {
	if f.isDead() {
		return context.Canceled
	}
	o := f.weather.next(scanEntries, log)
	switch o {
	case lost, late, last:
		return errInjected
	case killedBefore:
		f.die()
		return context.Canceled
	}
	n := uint64(0)
	err := f.table.ScanLinks(ctx, log, from, func(e *store.Scanned) error {
		switch n++; {
		case o == half && n > 100:
			return errInjected
		case o == gap && e.Seq == gapSeq:
			return nil
		}
		return fn(e)
	})
	switch {
	case o == killedAfter:
		f.die()
		return errors.Join(context.Canceled, err)
	case err == nil && o == done:
		return errInjected
	}
	return err
}

type faultyOutbox struct{ *faulty }

func (f faultyOutbox) Produce(ctx context.Context, topic string, messages []kafkaio.Message) error {
	_, err := meet(ctx, f.faulty, publishing, "", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, f.outbox.Produce(ctx, topic, messages)
	})
	return err
}

type faultySigner struct {
	note.Signer
	f *faulty
}

func (s faultySigner) Sign(msg []byte) ([]byte, error) {
	return meet(context.Background(), s.f, signing, "", func(context.Context) ([]byte, error) { return s.Signer.Sign(msg) })
}

// useKafka gives the rig a broker and topics of its own.
func (r *rig) useKafka(broker string) {
	r.t.Helper()
	r.kafka = newKafka(r.t, broker)
	r.cfg.CheckpointTopic, r.cfg.SystemTopic = testkit.Topic(r.t, broker, 2), testkit.Topic(r.t, broker, 1)
	r.cfg.RepublishEvery, r.cfg.CheckPublished = time.Second, true
}

// anyBroker is Apache Kafka where there is one.
func anyBroker(t *testing.T) string {
	t.Helper()
	if os.Getenv("AGENTAUDIT_TEST_KAFKA") != "" {
		return testkit.RealKafka(t)
	}
	return testkit.EmbeddedKafka(t).Address
}

// topic returns what was published so far.
func (r *rig) topic() [][]byte {
	r.t.Helper()
	partitions, err := r.kafka.Partitions(context.Background(), r.cfg.CheckpointTopic)
	if err != nil {
		r.t.Fatal(err)
	}
	var all [][]byte
	for partition := range partitions {
		from, end, err := r.kafka.Offsets(context.Background(), r.cfg.CheckpointTopic, partition)
		if err != nil {
			r.t.Fatal(err)
		}
		if from == end {
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		batches, finished := make(chan *kafkaio.Batch), make(chan error, 1)
		go func() { finished <- r.kafka.Follow(ctx, r.cfg.CheckpointTopic, partition, from, batches) }() // ends with ctx
		for from < end {
			batch := <-batches
			for i := range batch.Records {
				all = append(all, slices.Clone(batch.Records[i].Value))
			}
			from = batch.Next
			batch.Release()
		}
		cancel()
		if err := <-finished; err != nil {
			r.t.Fatal(err)
		}
	}
	return all
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

// noAlarm fails if a good log was called bad.
func noAlarm(t *testing.T, l *testLog, processes ...*process) {
	t.Helper()
	for _, p := range processes {
		for _, a := range p.alarms.list() {
			if a.Log == l.head.Log {
				t.Errorf("an alarm for a good log: %+v", a)
			}
		}
	}
}

// Every step, every outcome. One log is good; of the other an entry behind the checkpoint was changed, with the hash beside it made to fit.
func TestFaults(t *testing.T) {
	broker := anyBroker(t)
	reads := []outcome{lost, killedBefore}
	writes := []outcome{lost, done, late, last, killedBefore, killedAfter}
	for _, row := range []struct {
		step     step
		outcomes []outcome
	}{
		{readCheckpoint, reads},
		{readHead, reads},
		{loadTiles, reads},
		{scanEntries, []outcome{lost, half, done, killedBefore, killedAfter}},
		{signing, []outcome{lost, killedBefore, killedAfter}},
		{stagingTiles, writes},
		{swapping, writes},
		{publishing, writes},
		{replacingNote, writes},
	} {
		for _, o := range row.outcomes {
			t.Run(string(row.step)+" "+string(o), func(t *testing.T) { faultAt(t, broker, row.step, o) })
		}
	}
}

const changedSeq = 400

func faultAt(t *testing.T, broker string, at step, o outcome) {
	r := newRig(t)
	r.useKafka(broker)
	r.cfg.PublicTiles = true
	good, bad := r.newLog("agent.events/0", 300), r.newLog("agent.events/1", 300)
	w := newWeather(r)
	first := r.start()
	r.awaitCheckpoint(good)
	r.awaitCheckpoint(bad)
	first.stop()

	replaces := at == replacingNote
	if replaces {
		r.newKey() // which signs what is there, as long as nothing new is
	} else {
		good.add(300)
		bad.add(300)
		r.exec(fmt.Sprintf("ALTER TABLE {events} UPDATE entry = replaceOne(entry, 'not JSON', 'not json'), "+
			"leaf_hash = SHA256(concat(char(0), replaceOne(entry, 'not JSON', 'not json'))) WHERE log = '%s' AND seq = %d SETTINGS mutations_sync = 2", bad.head.Log, changedSeq))
	}
	kill := o == killedBefore || o == killedAfter
	times := 2
	if kill {
		times = 1
	}
	met := 0 // under w.mu
	w.set(func(s step, _ string) outcome {
		if s != at || met == times {
			return fine
		}
		met++
		return o
	})
	second := r.start()
	testkit.Eventually(t, soon, func() bool { return w.count() == times }, "the step is reached")
	last := second
	if kill {
		second.stop()
		last = r.start()
	}
	if !replaces {
		testkit.Eventually(t, soon, func() bool { return len(last.alarms.list()) > 0 }, "the changed entry is found")
	}
	r.awaitCheckpoint(good)
	good.add(300) // beyond what any late call says
	r.awaitCheckpoint(good)
	before := r.checkpointSize(good.head.Log)
	w.clear()
	if size := r.checkpointSize(good.head.Log); size < before {
		t.Errorf("the checkpoint went back from %d to %d", before, size)
	}
	w.checkGood(last, good)
	noAlarm(t, good, first, second, last)
	if size := r.checkpointSize(bad.head.Log); size > changedSeq {
		t.Errorf("the changed entry %d is covered: the checkpoint has %d entries", changedSeq, size)
	}
	last.stop()
	w.check(good, bad)
}

// A gap that is seen twice passes; seen three times it is a fault of the log.
func TestFaultsOfTheTable(t *testing.T) {
	broker := anyBroker(t)
	f := func(times int, check func(r *rig, w *weather, p *process, l *testLog)) {
		t.Run(fmt.Sprintf("%d times", times), func(t *testing.T) {
			r := newRig(t)
			r.useKafka(broker)
			l := r.newLog("agent.events/0", 300)
			w := newWeather(r)
			met := 0
			w.set(func(s step, _ string) outcome {
				if s != scanEntries || met == times {
					return fine
				}
				met++
				return gap
			})
			p := r.start()
			testkit.Eventually(t, soon, func() bool { return w.count() == times }, "the gap is seen")
			check(r, w, p, l)
			p.stop()
			w.check(l)
		})
	}
	f(faultLooks-1, func(r *rig, w *weather, p *process, l *testLog) {
		w.checkGood(p, l)
		noAlarm(r.t.(*testing.T), l, p)
	})
	f(faultLooks, func(r *rig, _ *weather, p *process, l *testLog) {
		r.awaitAlarm(p, l.head.Log, gapSeq, "seq 50 expected, 51 found")
		if size := r.checkpointSize(l.head.Log); size != gapSeq-1 { // the entry before a bad link is not vouched for either
			r.t.Errorf("the checkpoint has %d entries", size)
		}
	})
}

// Two exporters and all faults at random steps, on a vault in PostgreSQL where there is one, with connections that are cut besides.
func TestFaultsAtRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	r := newRig(t)
	r.useKafka(anyBroker(t))
	r.cfg.PublicTiles = true
	clickhouse, through := testkit.ProxyTo(t, r.server.URL)
	direct := r.store
	r.store = r.openStore(through)
	cut := []*testkit.Proxy{clickhouse}
	if os.Getenv("AGENTAUDIT_TEST_POSTGRES") != "" {
		proxy := r.usePostgres()
		cut = append(cut, proxy)
	}
	w := newWeather(r)
	proxied := r.store
	r.store = direct // what writes the logs is not harmed
	logs := make([]*testLog, 6)
	for i := range logs {
		logs[i] = r.newLog(fmt.Sprintf("agent.events/%d", i), dice.IntN(300))
	}
	r.store = proxied

	outcomes := []outcome{lost, done, late, last, half, killedBefore, killedAfter}
	w.set(func(s step, _ string) outcome { // one at a time, under w.mu
		if dice.IntN(12) > 0 {
			return fine
		}
		o := outcomes[dice.IntN(len(outcomes))]
		if o == half && s != scanEntries || (o == killedBefore || o == killedAfter) && dice.IntN(8) > 0 { // a start takes longer than a call
			return lost
		}
		return o
	})
	var all []*process
	running := make([]*process, 2)
	start := func(i int) {
		r.author = newAuthor(t, fmt.Sprintf("exporter-%d", len(all)))
		running[i] = r.start()
		all = append(all, running[i])
	}
	start(0)
	start(1)
	restart := func() {
		for i, p := range running {
			if p.killed() {
				p.stop()
				start(i)
			}
		}
	}
	writer := rand.New(rand.NewPCG(seed, 1))
	const wanted = 300
	deadline := time.Now().Add(time.Minute)
	for w.count() < wanted && time.Now().Before(deadline) {
		logs[writer.IntN(len(logs))].add(1 + writer.IntN(120))
		if writer.IntN(4) == 0 {
			cut[writer.IntN(len(cut))].Cut()
		}
		faults := w.count()
		testkit.Eventually(t, soon, func() bool { // so that writing does not run ahead
			restart()
			return w.count() > faults
		}, "one more fault")
	}
	w.clear()
	restart()
	r.store = direct
	for _, l := range logs {
		w.checkGood(running[0], l)
		noAlarm(t, l, all...)
	}
	running[0].stop()
	for _, l := range logs { // the other one goes on by itself, also where it always came second
		l.add(5)
		w.checkGood(running[1], l)
		noAlarm(t, l, all...)
	}
	running[1].stop()
	w.check(logs...)
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Logf("%d faults, %d exporters, %d checkpoints were visible", w.faults, len(all), len(w.seen))
	if w.faults < 100 {
		t.Errorf("%d faults only", w.faults)
	}
}
