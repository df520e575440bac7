package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// count returns what a query of one number says.
func count(t testing.TB, s *Store, sql string) string {
	t.Helper()
	var b strings.Builder
	if err := s.Query(context.Background(), sql, "TabSeparated", &b); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return strings.TrimSpace(b.String())
}

func headIs(t testing.TB, w *Writer, want chain.Head) {
	t.Helper()
	if got, err := w.Head(context.Background()); err != nil || got != want {
		t.Fatalf("head %+v (%v), want %+v", got, err, want)
	}
}

func TestInsertAndHead(t *testing.T) {
	s := newStore(t)
	l := newTestLog(t, "agent.events/3")
	w := openWriter(t, s, l.head.Log)
	headIs(t, w, chain.EmptyHead(l.head.Log))
	block := NewBlock()
	for _, rows := range [][]*sealed{{l.open(202611)}, l.samples(1000), l.samples(1), {l.control(&chain.Control{Op: chain.OpEpoch, NextEpoch: 202612})}, l.samples(10)} {
		insert(t, w, fill(t, block, rows...))
	}
	headIs(t, w, l.head)
	if head, err := s.Head(context.Background(), l.head.Log); err != nil || head != l.head {
		t.Errorf("Store.Head: %+v, %v", head, err)
	}
	if got := count(t, s, "SELECT groupArray(epoch) FROM (SELECT DISTINCT epoch FROM events ORDER BY epoch)"); got != "[0,202611,202612]" {
		t.Errorf("epochs %s", got)
	}
	leaf, found, err := w.LeafAt(context.Background(), 0)
	if entry, entryErr := s.EntryAt(context.Background(), l.head.Log, 0); err != nil || entryErr != nil || !found || leaf != chain.LeafHash(entry) {
		t.Errorf("LeafAt(0): %v %v %v, EntryAt(0): %v", leaf, found, err, entryErr)
	}
	if _, found, err := w.LeafAt(context.Background(), l.head.Size); err != nil || found {
		t.Errorf("LeafAt beyond the head: %v, %v", found, err)
	}
	if _, err := s.EntryAt(context.Background(), l.head.Log, l.head.Size); !errors.Is(err, ErrNotFound) {
		t.Errorf("EntryAt beyond the head: %v", err)
	}
}

// TestTokenOnce: a second insert under a used token looks like the first and stores nothing.
func TestTokenOnce(t *testing.T) {
	s := newStore(t)
	l := newTestLog(t, "agent.events/0")
	w, block := openWriter(t, s, l.head.Log), NewBlock()
	insert(t, w, fill(t, block, l.open(202611)))
	token, before := l.head.Token(0), *l
	for range 3 {
		if err := w.Insert(context.Background(), token, fill(t, block, l.samples(5)...)); err != nil {
			t.Fatal(err)
		}
		*l = before
		l.sample() // another batch each time
		l.head = before.head
	}
	if got := count(t, s, "SELECT count() FROM events"); got != "6" {
		t.Errorf("%s rows, want 6", got)
	}
}

// TestEightWriters: of eight that extend one head at once, one wins, each time.
func TestEightWriters(t *testing.T) {
	s := newStore(t)
	l := newTestLog(t, "agent.events/0")
	ctx := context.Background()
	first := openWriter(t, s, l.head.Log)
	insert(t, first, fill(t, NewBlock(), l.open(202611)))
	for round := range 5 {
		head := l.head
		contenders := make([]*testLog, 8)
		var all sync.WaitGroup
		for i := range contenders {
			c := newTestLog(t, l.head.Log)
			c.head = head
			contenders[i] = c
			rows := c.samples(10 + i)
			w := openWriter(t, s, l.head.Log)
			all.Go(func() { // ends with its insert
				if err := w.Insert(ctx, head.Token(0), fill(t, NewBlock(), rows...)); err != nil {
					t.Errorf("writer %d: %v", i, err)
				}
			})
		}
		all.Wait()
		got, err := first.Head(ctx)
		if err != nil {
			t.Fatal(err)
		}
		winner := -1
		for i, c := range contenders {
			if c.head == got {
				winner = i
			}
		}
		if winner < 0 {
			t.Fatalf("round %d: nobody's head is stored: %+v", round, got)
		}
		l.head = got
		if n := count(t, s, "SELECT count() - uniqExact(seq) FROM events"); n != "0" {
			t.Fatalf("round %d: %s doubles", round, n)
		}
	}
}

// viaProxy returns a store that reaches the server of s through a proxy.
func viaProxy(t *testing.T, s *Store) (*Store, *testkit.Proxy) {
	proxy, through := testkit.ProxyTo(t, s.cfg.Addresses[0])
	cfg := s.cfg
	cfg.Addresses = []string{through}
	cfg.MaxExecution, cfg.InsertTimeout = time.Second, 2*time.Second
	return openStore(t, cfg), proxy
}

// TestUnknownOutcome: whatever is cut, an insert never claims to know what it cannot.
func TestUnknownOutcome(t *testing.T) {
	s := newStore(t)
	far, proxy := viaProxy(t, s)
	ctx := context.Background()
	l := newTestLog(t, "agent.events/0")
	near := openWriter(t, s, l.head.Log)
	insert(t, near, fill(t, NewBlock(), l.open(202611)))
	f := func(name string, harm func(), lands bool) {
		t.Helper()
		defer proxy.Heal()
		before := l.head
		w := openWriter(t, far, l.head.Log)
		block := fill(t, NewBlock(), l.samples(50)...)
		harm()
		err := w.Insert(ctx, before.Token(0), block)
		if !errors.Is(err, ErrUnknownOutcome) || errors.Is(err, ErrRefused) {
			t.Fatalf("%s: %v", name, err)
		}
		want := before
		if lands {
			want = l.head
		}
		testkit.Eventually(t, 10*time.Second, func() bool {
			n, err := s.InsertsInFlight(ctx, l.head.Log)
			got, headErr := near.Head(ctx)
			return err == nil && headErr == nil && n == 0 && got == want
		}, name+": the stored head")
		// The same block under the same token is right in either case.
		if err := near.Insert(ctx, before.Token(0), block); err != nil {
			t.Fatalf("%s: again: %v", name, err)
		}
		headIs(t, near, l.head)
	}
	f("request cut", func() { proxy.TruncateAfter(testkit.ToServer, 10_000) }, false)
	f("answer cut", func() { proxy.TruncateAfter(testkit.ToClient, 10) }, true)
	f("answer lost", func() { proxy.BlackHole(testkit.ToClient) }, true)
	f("answer changed", func() {
		proxy.Corrupt(testkit.ToClient, func(chunk []byte) {
			if len(chunk) > 0 {
				chunk[0] = 'X'
			}
		})
	}, true)
}

// TestRefused: the causes for which nothing can have been stored.
func TestRefused(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	l := newTestLog(t, "agent.events/0")
	block := fill(t, NewBlock(), l.open(202611))
	f := func(name string, w *Writer, token string, b *Block) {
		t.Helper()
		if err := w.Insert(ctx, token, b); !errors.Is(err, ErrRefused) || errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := openWriter(t, s, l.head.Log)
	f("no rows", w, "x", NewBlock())
	f("no token", w, "", block)
	f("another log", openWriter(t, s, "agent.events/1"), "x", block)
	far, proxy := viaProxy(t, s)
	fw := openWriter(t, far, l.head.Log)
	exec(t, s, "RENAME TABLE "+s.events+" TO "+s.events+"_away")
	f("no table", w, "x", block)
	exec(t, s, "CREATE TABLE "+s.events+" (log String, seq UInt64) ENGINE = MergeTree ORDER BY seq")
	f("wrong table", w, "x", block)
	exec(t, s, "DROP TABLE "+s.events)
	exec(t, s, "RENAME TABLE "+s.events+"_away TO "+s.events)
	fw.session.server = &server{base: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, client: fw.session.server.client}
	f("no server", fw, "x", block)
	_ = proxy
	headIs(t, w, chain.EmptyHead(l.head.Log))
}

// TestSessionLost: a writer whose session is gone can neither write nor read.
func TestSessionLost(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	l := newTestLog(t, "agent.events/0")
	block := fill(t, NewBlock(), l.open(202611))
	f := func(name string, w *Writer) {
		t.Helper()
		if err := w.Insert(ctx, "x", block); !errors.Is(err, ErrSessionLost) || errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("%s: insert: %v", name, err)
		}
		if _, err := w.Head(ctx); !errors.Is(err, ErrSessionLost) {
			t.Errorf("%s: head: %v", name, err)
		}
		if _, _, err := w.LeafAt(ctx, 0); !errors.Is(err, ErrSessionLost) {
			t.Errorf("%s: leaf: %v", name, err)
		}
	}
	closed := openWriter(t, s, l.head.Log)
	closed.Close()
	f("closed", closed)
	idle := openWriter(t, s, l.head.Log)
	idle.session.id += "-of-another-run"
	f("unknown to the server", idle)
	headIs(t, openWriter(t, s, l.head.Log), chain.EmptyHead(l.head.Log))
}

// TestSessionEndsWithServer: a session does not live on in a server that was started again.
func TestSessionEndsWithServer(t *testing.T) {
	proc := testkit.EmbeddedClickHouse(t)
	cfg := DefaultConfig()
	cfg.Addresses, cfg.User, cfg.Password = []string{proc.URL}, proc.User, proc.Password
	s := openStore(t, cfg)
	ctx := context.Background()
	if err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	l := newTestLog(t, "agent.events/0")
	w, block := openWriter(t, s, l.head.Log), NewBlock()
	insert(t, w, fill(t, block, l.open(202611)))
	proc.Kill()
	<-proc.Done()
	before := l.head
	fill(t, block, l.samples(10)...)
	if err := w.Insert(ctx, before.Token(0), block); !errors.Is(err, ErrRefused) && !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("server down: %v", err)
	}
	if err := proc.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := w.Insert(ctx, before.Token(0), block); !errors.Is(err, ErrSessionLost) {
		t.Errorf("after the restart: %v", err)
	}
	again := openWriter(t, s, l.head.Log)
	headIs(t, again, before)
	insert(t, again, block)
	headIs(t, again, l.head)
}

func TestInsertsInFlight(t *testing.T) {
	s := newStore(t)
	far, proxy := viaProxy(t, s)
	ctx := context.Background()
	l := newTestLog(t, "agent.events/0")
	w := openWriter(t, far, l.head.Log)
	// The server has the head of the request and half of its body.
	proxy.TruncateAfter(testkit.ToServer, 1<<62)
	proxy.Delay(testkit.ToServer, 300*time.Millisecond)
	l.open(202611)
	block := fill(t, NewBlock(), l.samples(500)...)
	done := make(chan error, 1)
	go func() { done <- w.Insert(ctx, "x", block) }() // ends with its insert, below
	inFlight := func(log string) int {
		n, err := s.InsertsInFlight(ctx, log)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	testkit.Eventually(t, 10*time.Second, func() bool { return inFlight(l.head.Log) == 1 }, "the insert shows")
	if n := inFlight("agent.events/1"); n != 0 {
		t.Errorf("%d inserts of another log", n)
	}
	proxy.Heal()
	<-done
	testkit.Eventually(t, 10*time.Second, func() bool { return inFlight(l.head.Log) == 0 }, "the insert has gone")
}

// TestHeadFaults: a damaged last entry is no head.
func TestHeadFaults(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	f := func(n int, change, reason string) {
		t.Helper()
		l := newTestLog(t, fmt.Sprintf("agent.events/%d", n))
		w := openWriter(t, s, l.head.Log)
		insert(t, w, fill(t, NewBlock(), l.open(202611)))
		if err := w.Insert(ctx, l.head.Token(0), fill(t, NewBlock(), l.samples(3)...)); err != nil {
			t.Fatal(err)
		}
		exec(t, s, "INSERT INTO "+s.events+" ("+columnNames+") SELECT * REPLACE ("+change+") FROM "+s.events+" AS e WHERE log = '"+l.head.Log+"' AND e.seq = 3")
		var fault *chain.Fault
		if _, err := s.Head(ctx, l.head.Log); !errors.As(err, &fault) || !strings.Contains(fault.Reason, reason) {
			t.Errorf("%s: %v", change, err)
		}
		if _, err := w.Head(ctx); !errors.As(err, &fault) || errors.Is(err, ErrSessionLost) {
			t.Errorf("%s: writer: %v", change, err)
		}
	}
	f(0, "3 AS seq", "more than once")
	f(1, "4 AS seq", "another log or seq")
	f(2, "4 AS seq, unhex(repeat('00', 32)) AS leaf_hash", "leaf hash")
	f(3, "4 AS seq, 'not an entry' AS entry, unhex(SHA256('x')) AS leaf_hash", "leaf hash")
}

// TestAbandonedInsert: a request that was given up does not send what the block holds later.
func TestAbandonedInsert(t *testing.T) {
	l := newTestLog(t, "agent.events/0")
	block := fill(t, NewBlock(), l.open(202611))
	wire, err := block.finish()
	if err != nil {
		t.Fatal(err)
	}
	body := newBlockBody(wire)
	if _, err := body.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	body.abandon()
	if n, err := body.Read(make([]byte, 10)); n != 0 || !errors.Is(err, errAbandoned) {
		t.Errorf("read %d bytes, %v", n, err)
	}
}
