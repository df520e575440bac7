package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// storeLog inserts a log of several parts and returns its entries.
func storeLog(t testing.TB, s *Store, l *testLog, parts, rows int) []*sealed {
	t.Helper()
	w, block := openWriter(t, s, l.head.Log), NewBlock()
	all := []*sealed{l.open(202611)}
	insert(t, w, fill(t, block, all...))
	for range parts {
		part := l.samples(rows)
		insert(t, w, fill(t, block, part...))
		all = append(all, part...)
	}
	return all
}

// scanFunc is Scan, or ScanLinks as one.
type scanFunc func(ctx context.Context, log string, from uint64, fn func(seq uint64, entry []byte, leaf chain.Hash) error) error

var errLink = errors.New("the link was read with another leaf hash")

// bothScans runs a test of Scan with ScanLinks too.
func bothScans(t *testing.T, f func(t *testing.T, of func(*Store) scanFunc)) {
	t.Run("Scan", func(t *testing.T) { f(t, func(s *Store) scanFunc { return s.Scan }) })
	t.Run("ScanLinks", func(t *testing.T) {
		f(t, func(s *Store) scanFunc {
			return func(ctx context.Context, log string, from uint64, fn func(seq uint64, entry []byte, leaf chain.Hash) error) error {
				return s.ScanLinks(ctx, log, from, func(e *Scanned) error {
					if e.Link.Leaf() != chain.LeafHash(e.Entry) {
						return errLink
					}
					return fn(e.Seq, e.Entry, e.Leaf)
				})
			}
		})
	})
}

func TestScan(t *testing.T) { bothScans(t, testScan) }

func testScan(t *testing.T, of func(*Store) scanFunc) {
	s := newStore(t)
	scan := of(s)
	ctx := context.Background()
	l, other := newTestLog(t, "agent.events/0"), newTestLog(t, "agent.events/1")
	all := storeLog(t, s, l, 7, 300)
	storeLog(t, s, other, 2, 100)
	for _, from := range []uint64{0, 1, 1000, l.head.Size - 1, l.head.Size, 1 << 63} {
		next := from
		err := scan(ctx, l.head.Log, from, func(seq uint64, entry []byte, leaf chain.Hash) error {
			if seq != next || string(entry) != string(all[seq].row.Entry) || leaf != all[seq].row.Leaf {
				t.Fatalf("from %d: seq %d, want %d", from, seq, next)
			}
			next++
			return nil
		})
		if err != nil || next != max(from, l.head.Size) {
			t.Errorf("from %d: ended at %d, %v", from, next, err)
		}
	}
	enough := errors.New("enough")
	n := 0
	if err := scan(ctx, l.head.Log, 0, func(uint64, []byte, chain.Hash) error { n++; return enough }); err != enough || n != 1 { //nolint:errorlint // handed through as it is
		t.Errorf("%d calls, %v", n, err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	err := scan(cancelled, l.head.Log, 0, func(uint64, []byte, chain.Hash) error { cancel(); return nil })
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestScanShowsWhatIsThere: doubles and gaps reach the verifier.
func TestScanShowsWhatIsThere(t *testing.T) { bothScans(t, testScanShowsWhatIsThere) }

func testScanShowsWhatIsThere(t *testing.T, of func(*Store) scanFunc) {
	s := newStore(t)
	ctx := context.Background()
	f := func(n int, change, reason string, at uint64) {
		t.Helper()
		l := newTestLog(t, fmt.Sprintf("agent.events/%d", n))
		storeLog(t, s, l, 2, 20)
		exec(t, s, strings.ReplaceAll(change, "LOG", "'"+l.head.Log+"'"))
		verifier := chain.NewVerifier(l.head.Log)
		err := of(s)(ctx, l.head.Log, 0, verifier.Check)
		var fault *chain.Fault
		if !errors.As(err, &fault) || fault.Seq != at || !strings.Contains(fault.Reason, reason) {
			t.Errorf("%s: %v", change, err)
		}
	}
	f(0, "INSERT INTO "+s.events+" SELECT * FROM "+s.events+" WHERE log = LOG AND seq = 7", "double", 7)
	f(1, "INSERT INTO "+s.events+" SELECT * REPLACE ('{}' AS entry) FROM "+s.events+" WHERE log = LOG AND seq = 9", "", 9)
	f(2, "ALTER TABLE "+s.events+" DELETE WHERE log = LOG AND seq = 30 SETTINGS mutations_sync = 2", "seq 30 expected", 30)
	f(3, "ALTER TABLE "+s.events+" UPDATE entry = replaceOne(entry, 'acme', 'evil') WHERE log = LOG AND seq = 5 SETTINGS mutations_sync = 2", "leaf hash", 5)
}

// TestScanCut: what was cut short is not taken for the whole.
func TestScanCut(t *testing.T) { bothScans(t, testScanCut) }

func testScanCut(t *testing.T, of func(*Store) scanFunc) {
	s := newStore(t)
	far, proxy := viaProxy(t, s)
	ctx := context.Background()
	l := newTestLog(t, "agent.events/0")
	storeLog(t, s, l, 3, 500)
	for _, after := range []int64{500, 5_000, 100_000, 500_000} {
		proxy.TruncateAfter(testkit.ToClient, after)
		n := 0
		err := of(far)(ctx, l.head.Log, 0, func(uint64, []byte, chain.Hash) error { n++; return nil })
		if err == nil {
			t.Errorf("cut after %d bytes: %d rows and no error", after, n)
		}
		proxy.Heal()
	}
}

// TestScanFails: an exception within the result is an error, and names its code.
func TestScanFails(t *testing.T) {
	s := newStore(t)
	var e *Exception
	var x proto.ColUInt8
	err := s.servers[0].readNative(context.Background(), "SELECT throwIf(number = 3000000, 'late') AS x FROM numbers(4000000) SETTINGS max_block_size = 1000 FORMAT Native",
		params{}, proto.Results{{Name: "x", Data: &x}}, func(int) error { return nil })
	if !errors.As(err, &e) || e.Code != 395 {
		t.Errorf("late exception: %v", err)
	}
}

// heldAtMost is blocksAhead blocks, whose entries take 13 MB here and their links 3 MB, and the one of them that is growing. All of the log would be 180 MB.
const heldAtMost = 80 << 20

// TestScanMemory: memory does not grow with the log.
func TestScanMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("stores 100 MB")
	}
	s := newStore(t)
	l := newTestLog(t, "agent.events/0")
	storeLog(t, s, l, 10, 10_000)
	bothScans(t, func(t *testing.T, of func(*Store) scanFunc) {
		runtime.GC()
		var before, now runtime.MemStats
		runtime.ReadMemStats(&before)
		most := uint64(0)
		err := of(s)(t.Context(), l.head.Log, 0, func(seq uint64, _ []byte, _ chain.Hash) error {
			if seq%5000 == 0 {
				runtime.GC()
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapAlloc)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if held := int64(most) - int64(before.HeapAlloc); held > heldAtMost {
			t.Errorf("%d MB are held", held>>20)
		}
	})
}
