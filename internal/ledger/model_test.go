package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// modelRow is one entry as the model of the store keeps it.
type modelRow struct {
	seq       uint64
	prev      chain.Hash
	leaf      chain.Hash
	epoch     uint32
	nextEpoch uint32
	offset    int64 // -1: a control entry
	next      int64
}

// modelBatch is one insert. All its rows stand in one epoch.
type modelBatch []modelRow

func (b modelBatch) head(log string) chain.Head {
	last := b[len(b)-1]
	return chain.Head{Log: log, Size: last.seq + 1, Leaf: last.leaf, Epoch: last.epoch, NextEpoch: last.nextEpoch, Next: last.next}
}

// modelFaults are the ways in which the model of the store deviates from what the
// fence asks of it. All false is the store that we assert.
type modelFaults struct {
	noSessions   bool // requests are accepted whatever their session
	shortWindow  bool // the store keeps three tokens, and sessions never end
	tornInserts  bool // an insert of several rows becomes visible in two steps
	quietLies    bool // running inserts are not reported
	tokensAbsent bool // no deduplication: the default of a plain MergeTree
	epochsFree   bool // check does not look at epochs, only at what comes of them
}

const (
	modelMaxExecution   = 10 * time.Second
	modelSessionTimeout = time.Minute
	modelWindow         = 100_000
)

var (
	errDown    = errors.New("connection refused")
	errDied    = errors.New("connection reset")
	errSession = errors.New("session not found")
)

// model is a store with ClickHouse's deduplication as measured: a token is noted
// before the rows it stands for are visible, separately for each partition
// (epoch), and a token seen before makes the insert a silent success. A crash
// ends every request that is running and every session; a power loss may also
// take the last tokens without their rows, or the last rows without their token.
type model struct {
	faults modelFaults

	mu       sync.Mutex
	run      int // of the server process; raised by each crash
	upAt     time.Time
	sessions map[int]*modelSession
	nextID   int
	tokens   []string // oldest first
	batches  []modelBatch
	running  int
	broken   error // the first violation seen
}

type modelSession struct {
	run  int
	used time.Time
}

func newModel(faults modelFaults) *model {
	return &model{faults: faults, sessions: map[int]*modelSession{}}
}

// crash ends this run of the server; it comes back after down.
func (m *model) crash(down time.Duration, loseTokens int, loseBatch bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.run++
	m.running = 0
	m.upAt = time.Now().Add(down)
	clear(m.sessions)
	switch {
	case loseBatch && len(m.batches) > 0:
		m.batches = m.batches[:len(m.batches)-1]
	case loseTokens > 0:
		m.tokens = m.tokens[:max(0, len(m.tokens)-loseTokens)]
	}
}

func (m *model) openSession() (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Now().Before(m.upAt) {
		return 0, errDown
	}
	m.nextID++
	m.sessions[m.nextID] = &modelSession{run: m.run, used: time.Now()}
	return m.nextID, nil
}

// admit lets a request of the session in. The caller holds mu.
func (m *model) admit(session int) error {
	if time.Now().Before(m.upAt) {
		return errDown
	}
	if m.faults.noSessions {
		return nil
	}
	s := m.sessions[session]
	if s == nil || s.run != m.run {
		return errSession
	}
	if time.Since(s.used) > modelSessionTimeout && !m.faults.shortWindow {
		delete(m.sessions, session)
		return errSession
	}
	s.used = time.Now()
	return nil
}

func (m *model) head(session int, log string) (chain.Head, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.admit(session); err != nil {
		return chain.Head{}, err
	}
	return m.headLocked(log), nil
}

func (m *model) headLocked(log string) chain.Head {
	head := chain.Head{Log: log, LastOffset: -1}
	for _, b := range m.batches {
		if h := b.head(log); h.Size > head.Size {
			head = h
		}
	}
	return head
}

// insert is the server's side of one request. It takes commit of virtual time
// between noting the token and making the rows visible.
func (m *model) insert(session int, token string, b modelBatch, commit time.Duration) error {
	m.mu.Lock()
	if err := m.admit(session); err != nil {
		m.mu.Unlock()
		return err
	}
	key := fmt.Sprintf("%d/%s", b[0].epoch, token)
	if !m.faults.tokensAbsent && m.seen(key) {
		m.mu.Unlock()
		return nil
	}
	m.tokens = append(m.tokens, key)
	if window := m.window(); len(m.tokens) > window {
		m.tokens = m.tokens[len(m.tokens)-window:]
	}
	run := m.run
	m.running++
	m.mu.Unlock()

	time.Sleep(commit)

	m.mu.Lock()
	defer m.mu.Unlock()
	if m.run != run {
		return errDied
	}
	m.running--
	if m.faults.tornInserts && len(b) > 1 {
		m.show(b[:1])
		m.mu.Unlock()
		time.Sleep(commit)
		m.mu.Lock()
		if m.run != run {
			return errDied
		}
		m.show(b[1:])
		return nil
	}
	m.show(b)
	return nil
}

func (m *model) window() int {
	if m.faults.shortWindow {
		return 3
	}
	return modelWindow
}

func (m *model) seen(key string) bool {
	for _, t := range m.tokens {
		if t == key {
			return true
		}
	}
	return false
}

// show makes rows visible and notes the first violation: two successors of one head, or a gap.
func (m *model) show(b modelBatch) {
	head := m.headLocked("")
	if m.broken == nil && (b[0].seq != head.Size || b[0].prev != head.Leaf) {
		m.broken = fmt.Errorf("rows %d… on prev %x became visible while the head had size %d and leaf %x", b[0].seq, b[0].prev[:4], head.Size, head.Leaf[:4])
	}
	m.batches = append(m.batches, b)
}

func (m *model) quiet() (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Now().Before(m.upAt) {
		return false, errDown
	}
	return m.running == 0 || m.faults.quietLies, nil
}

// check is the whole log held against the promise: one dense chain, epochs as
// announced, every record of the topic once and in order.
func (m *model) check(records int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return m.broken
	}
	var want modelRow // seq, prev, epoch and offset that come next
	for _, b := range m.batches {
		for _, r := range b {
			switch {
			case r.seq != want.seq || r.prev != want.prev:
				return fmt.Errorf("row %d: expected %d", r.seq, want.seq)
			case r.epoch != want.epoch && !m.faults.epochsFree:
				return fmt.Errorf("row %d stands in epoch %d, announced was %d", r.seq, r.epoch, want.epoch)
			case r.offset >= 0 && r.offset != want.next:
				return fmt.Errorf("row %d holds offset %d, expected %d", r.seq, r.offset, want.next)
			}
			want = modelRow{seq: r.seq + 1, prev: r.leaf, epoch: r.nextEpoch, next: r.next}
		}
	}
	if want.next != records {
		return fmt.Errorf("log stands still at offset %d of %d", want.next, records)
	}
	return nil
}

// network draws how long each step of one writer's requests takes. It belongs to
// one goroutine, so that a seed fixes the schedule.
type network struct {
	rng    *rand.Rand
	rough  func() bool   // faults go on
	longer time.Duration // the longest delay of a request
}

// jitter keeps two events from ever standing at the same instant, where the
// scheduler and not the seed would order them.
func (n *network) jitter(d time.Duration) time.Duration {
	return time.Duration(n.rng.Int64N(int64(d))) + time.Duration(n.rng.Int64N(1_000_000))
}

type journey struct {
	pause, there, commit, back time.Duration
	lost                       bool
}

func (n *network) journey() journey {
	j := journey{there: n.jitter(2 * time.Millisecond), commit: n.jitter(50 * time.Millisecond), back: n.jitter(2 * time.Millisecond)}
	if !n.rough() {
		return j
	}
	switch n.rng.IntN(12) {
	case 0: // the writer is stopped before it sends
		j.pause = n.jitter(10 * time.Minute)
	case 1: // the request is held back on the way
		j.there = n.jitter(n.longer)
	case 2: // the server is slow
		j.commit = n.jitter(modelMaxExecution)
	case 3: // and slower than it was told to be
		j.commit = n.jitter(3 * modelMaxExecution)
	case 4: // the answer is held back
		j.back = n.jitter(n.longer)
	case 5:
		j.lost = true
	}
	return j
}

// link is a writer's way to the model.
type link struct {
	model      *model
	net        *network
	noReadBack bool // believe what the insert says
	wg         *sync.WaitGroup
}

func (l *link) OpenSession(ctx context.Context, log string) (Session[modelBatch], error) {
	if err := sleep(ctx, l.net.jitter(time.Millisecond)); err != nil {
		return nil, err
	}
	id, err := l.model.openSession()
	if err != nil {
		return nil, err
	}
	return &linkSession{link: l, log: log, id: id}, nil
}

func (l *link) Quiet(ctx context.Context, _ string) (bool, error) {
	if err := sleep(ctx, l.net.jitter(time.Millisecond)); err != nil {
		return false, err
	}
	return l.model.quiet()
}

type linkSession struct {
	link     *link
	log      string
	id       int
	believed *chain.Head
}

func (s *linkSession) Close() {}

func (s *linkSession) LeafAt(_ context.Context, seq uint64) (chain.Hash, bool, error) {
	s.link.model.mu.Lock()
	defer s.link.model.mu.Unlock()
	for _, b := range s.link.model.batches {
		for _, r := range b {
			if r.seq == seq {
				return r.leaf, true, nil
			}
		}
	}
	return chain.Hash{}, false, nil
}

func (s *linkSession) Head(ctx context.Context) (chain.Head, error) {
	if s.believed != nil {
		return *s.believed, nil
	}
	if err := sleep(ctx, s.link.net.jitter(time.Millisecond)); err != nil {
		return chain.Head{}, err
	}
	return s.link.model.head(s.id, s.log)
}

// Insert sends the request and waits for its answer or for ctx. The request goes
// its way whatever becomes of the writer.
func (s *linkSession) Insert(ctx context.Context, token string, b modelBatch) error {
	j := s.link.net.journey()
	time.Sleep(j.pause) // a stopped process does not notice its deadline
	answer := make(chan error, 1)
	s.link.wg.Add(1)
	go func() { // ends with the request's journey
		defer s.link.wg.Done()
		time.Sleep(j.there)
		err := s.link.model.insert(s.id, token, b, j.commit)
		time.Sleep(j.back)
		if !j.lost {
			answer <- err
		}
	}()
	select {
	case err := <-answer:
		if err == nil && s.link.noReadBack {
			h := b.head(s.log)
			s.believed = &h
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// newLeaf makes leaves that no two writers share, as sealing does by salt and time.
func newLeaf(rng *rand.Rand, prev chain.Hash, seq uint64) chain.Hash {
	var buf [56]byte
	copy(buf[:], prev[:])
	binary.BigEndian.PutUint64(buf[32:], seq)
	binary.BigEndian.PutUint64(buf[40:], rng.Uint64())
	return sha256.Sum256(buf[:])
}
