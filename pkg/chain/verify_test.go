package chain

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const testLog = "agent.events/3"

func TestVerifierAcceptsGoodLogs(t *testing.T) {
	for _, log := range []string{testLog, "agent.events/3.1"} {
		b := newLog(t, log, 50)
		b.control(t, &Control{Op: OpClose, NextEpoch: 202612, Successor: strings.TrimSuffix(log, ".1") + map[bool]string{true: ".2", false: ".1"}[strings.HasSuffix(log, ".1")]})
		head, err := verifyAll(log, b.entries)
		if err != nil {
			t.Fatal(err)
		}
		if head != b.head {
			t.Errorf("head %+v, want %+v", head, b.head)
		}
	}
}

// TestVerifierGoesOnFromAnyHead: what HeadOf says of a stored entry is all that following the log from there needs.
func TestVerifierGoesOnFromAnyHead(t *testing.T) {
	b := newLog(t, testLog, 20)
	for i := range b.entries {
		head, err := HeadOf(b.entries[i].entry)
		if err != nil {
			t.Fatal(err)
		}
		v := NewVerifierAt(head)
		for _, e := range b.entries[i+1:] {
			if err := v.Check(e.seq, e.entry, e.leaf); err != nil {
				t.Fatalf("from seq %d: %v", i, err)
			}
		}
		if v.Head() != b.head {
			t.Fatalf("from seq %d: another head", i)
		}
	}
}

func (b *logBuilder) clone() []stored {
	entries := slices.Clone(b.entries)
	for i := range entries {
		entries[i].entry = slices.Clone(entries[i].entry)
	}
	return entries
}

func TestAnyFlippedByteIsFound(t *testing.T) {
	b := newLog(t, testLog, 12)
	f := func(t interface {
		Helper()
		Fatalf(string, ...any)
	}, entries []stored, seq int) {
		t.Helper()
		_, err := verifyAll(testLog, entries)
		var fault *Fault
		if !errors.As(err, &fault) || fault.Log != testLog || fault.Seq != uint64(seq) {
			t.Fatalf("changed at seq %d: %v", seq, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		entries := b.clone()
		seq := rapid.IntRange(0, len(entries)-1).Draw(t, "seq")
		e := &entries[seq]
		at := rapid.IntRange(0, len(e.entry)-1).Draw(t, "byte")
		e.entry[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		f(t, entries, seq)
		// Even if the hash beside the entry is made to fit: here if the entry is no longer one, else at the next.
		e.leaf = LeafHash(e.entry)
		_, err := verifyAll(testLog, entries)
		if err == nil && seq < len(entries)-1 {
			t.Fatalf("byte %d of seq %d changed, its leaf made to fit: not found", at, seq)
		}
	})
	for seq := range b.entries {
		for i := range HashBytes {
			entries := b.clone()
			entries[seq].leaf[i] ^= 1
			f(t, entries, seq)
		}
	}
}

func TestRemovalInsertionReorderAreFound(t *testing.T) {
	b := newLog(t, testLog, 12)
	rapid.Check(t, func(t *rapid.T) {
		entries := b.clone()
		last := len(entries) - 1
		i, j := rapid.IntRange(0, last).Draw(t, "i"), rapid.IntRange(0, last).Draw(t, "j")
		switch rapid.SampledFrom([]string{"remove", "insert", "reorder", "double", "renumber"}).Draw(t, "what") {
		case "remove":
			entries = slices.Delete(entries, min(i, last-1), min(i, last-1)+1) // the last one: see truncation
		case "insert":
			entries = slices.Insert(entries, i, stored{uint64(i), entries[j].entry, entries[j].leaf})
		case "double":
			entries = slices.Insert(entries, i, entries[i])
		case "reorder":
			if i == j {
				j = (i + 1) % len(entries) // else nothing is reordered
			}
			entries[i], entries[j] = entries[j], entries[i]
		case "renumber":
			entries = slices.Delete(entries, min(i, last-1), min(i, last-1)+1)
			for k := range entries {
				entries[k].seq = uint64(k)
			}
		}
		_, err := verifyAll(testLog, entries)
		var fault *Fault
		if !errors.As(err, &fault) {
			t.Fatalf("not found: %v", err)
		}
	})
}

// TestTruncationShowsInTheHead: a log that was cut is a good shorter log; only a head that somebody kept tells.
func TestTruncationShowsInTheHead(t *testing.T) {
	b := newLog(t, testLog, 12)
	for n := range b.entries {
		head, err := verifyAll(testLog, b.entries[:n])
		if err != nil {
			t.Fatal(err)
		}
		if head.Size >= b.head.Size || head.Leaf == b.head.Leaf {
			t.Errorf("cut to %d entries: the known head is still met", n)
		}
	}
}

// TestRules breaks one rule at a time, with the hash beside the entry made to fit.
func TestRules(t *testing.T) {
	f := func(reason string, size int, change func(h *Header, body *[]byte)) {
		t.Helper()
		b := newLog(t, testLog, size+1)
		v := NewVerifier(testLog)
		for _, e := range b.entries[:size] {
			if err := v.Check(e.seq, e.entry, e.leaf); err != nil {
				t.Fatal(err)
			}
		}
		var h Header
		body, err := ParseHeader(b.entries[size].entry, &h)
		if err != nil {
			t.Fatal(err)
		}
		seq := h.Seq
		change(&h, &body)
		entry := AppendEntry(nil, &h, body)
		before := v.Head()
		err = v.Check(seq, entry, LeafHash(entry))
		var fault *Fault
		if !errors.As(err, &fault) || fault.Log != testLog || fault.Seq != seq || !strings.Contains(fault.Reason, reason) {
			t.Errorf("want %q at seq %d, got %v", reason, seq, err)
			return
		}
		if v.Head() != before {
			t.Error("the head moved")
		}
		if again := v.Check(seq, b.entries[size].entry, b.entries[size].leaf); !errors.Is(again, err) {
			t.Errorf("after a fault: %v", again)
		}
	}
	f("another log", 2, func(h *Header, _ *[]byte) { h.Log = "agent.events/4" })
	f("seq 2 expected, the entry itself says 3", 2, func(h *Header, _ *[]byte) { h.Seq = 3 })
	f("prev does not match", 2, func(h *Header, _ *[]byte) { h.Prev[0] ^= 1 })
	f("not an open entry", 0, func(h *Header, body *[]byte) {
		h.Kind, h.Source.Offset, *body = KindEvent, 0, []byte(eventBody)
	})
	f("open entry", 0, func(h *Header, body *[]byte) { *body = AppendControl(nil, &Control{Op: OpEpoch, NextEpoch: 202611}) })
	f("epoch 0 expected, 202611 found", 0, func(h *Header, _ *[]byte) { h.Epoch = 202611 })
	f("epoch 202611 expected, 202612 found", 2, func(h *Header, _ *[]byte) { h.Epoch = 202612 })
	f("epoch 202611 expected, 202612 found", 4, func(h *Header, _ *[]byte) { h.Epoch = 202612 })
	f("epoch 202612 expected, 202611 found", 5, func(h *Header, _ *[]byte) { h.Epoch = 202611 })
	f("an earlier epoch", 4, func(h *Header, body *[]byte) { *body = AppendControl(nil, &Control{Op: OpEpoch, NextEpoch: 202610}) })
	f("src.offset 18 or more expected, 17 found", 2, func(h *Header, _ *[]byte) { h.Source.Offset = 17 })
	f("src.next 18 does not follow src.offset 18", 2, func(h *Header, _ *[]byte) { h.Source.Next = 18 })
	f("src.next 20 expected, 21 found", 4, func(h *Header, _ *[]byte) { h.Source.Next = 21 })
	f("src.next 20 expected, 19 found", 4, func(h *Header, _ *[]byte) { h.Source.Next = 19 })
	f("malformed event", 1, func(h *Header, body *[]byte) { *body = []byte(`"x":1`) })
	f("malformed rejected", 1, func(h *Header, body *[]byte) { h.Kind = KindRejected })
	f("malformed author", 1, func(h *Header, body *[]byte) { h.Kind = KindSystem })
	f("malformed control", 4, func(h *Header, body *[]byte) { *body = []byte(`"x":1`) })
	f("length", 1, func(h *Header, body *[]byte) { *body = append(*body, make([]byte, MaxEntryBytes)...) })
}

// TestOffsetsMayHaveGaps: control batches of Kafka and compaction leave offsets that no record has.
func TestOffsetsMayHaveGaps(t *testing.T) {
	b := newLog(t, testLog, 4)
	b.append(t, KindEvent, Source{Offset: b.head.Next + 5, Next: b.head.Next + 9}, []byte(eventBody))
	if _, err := verifyAll(testLog, b.entries); err != nil {
		t.Fatal(err)
	}
}

func TestPlaces(t *testing.T) {
	b := newLog(t, testLog, 6)
	f := func(reason string, faultSeq uint64, entries ...stored) {
		t.Helper()
		_, err := verifyAll(testLog, entries)
		var fault *Fault
		if !errors.As(err, &fault) || fault.Seq != faultSeq || fault.Reason != reason {
			t.Errorf("want %q at seq %d, got %v", reason, faultSeq, err)
		}
	}
	e := b.entries
	f("seq 1 expected, 2 found", 1, e[0], e[2])
	f("seq 0 expected, 1 found", 0, e[1])
	f("double: a second entry at this seq", 1, e[0], e[1], e[1])
	f("seq 3 expected, 0 found", 0, e[0], e[1], e[2], e[0])
	f("leaf hash differs", 1, e[0], stored{1, e[1].entry, e[2].leaf})
	b.control(t, &Control{Op: OpClose, NextEpoch: 202612, Successor: "agent.events/3.1"})
	b.record(t, KindEvent, []byte(eventBody))
	f("entry after the close entry", 7, b.entries...)
}

func TestVerifierAllocatesNothing(t *testing.T) {
	b := newLog(t, testLog, 3)
	v := NewVerifier(testLog)
	if err := v.Check(0, b.entries[0].entry, b.entries[0].leaf); err != nil {
		t.Fatal(err)
	}
	after := *v
	allocs := testing.AllocsPerRun(100, func() {
		*v = after
		if err := v.Check(1, b.entries[1].entry, b.entries[1].leaf); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations an entry", allocs)
	}
}

// Links that were read in any order are followed as the entries themselves are.
func TestCheckLink(t *testing.T) {
	b := newLog(t, testLog, 40)
	links := make([]Link, len(b.entries))
	for i := len(links) - 1; i >= 0; i-- {
		links[i].Read(b.entries[i].entry, LeafHash(b.entries[i].entry))
		if links[i].Leaf() != b.entries[i].leaf {
			t.Fatalf("entry %d: another leaf hash", i)
		}
	}
	v, w := NewVerifier(testLog), NewVerifier(testLog)
	for i, e := range b.entries {
		if err := v.CheckLink(e.seq, e.leaf, &links[i]); err != nil {
			t.Fatal(err)
		}
		if err := w.Follow(&links[i]); err != nil {
			t.Fatal(err)
		}
	}
	if v.Head() != b.head || w.Head() != b.head {
		t.Error("another head")
	}
	last := len(links) - 1
	f := func(name, reason string, check func(v *Verifier) error) {
		t.Helper()
		v := NewVerifier(testLog)
		for i := range last {
			if err := v.Follow(&links[i]); err != nil {
				t.Fatal(err)
			}
		}
		var fault *Fault
		if err := check(v); !errors.As(err, &fault) || !strings.Contains(fault.Reason, reason) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f("another hash beside it", "leaf hash differs", func(v *Verifier) error { return v.CheckLink(uint64(last), Hash{1}, &links[last]) })
	f("another predecessor", "prev does not match", func(v *Verifier) error {
		other := links[last]
		other.header.Prev = Hash{1}
		return v.Follow(&other)
	})
	f("the entry before again", "double", func(v *Verifier) error { return v.CheckLink(uint64(last-1), b.entries[last-1].leaf, &links[last-1]) })
	f("no entry", "malformed", func(v *Verifier) error {
		var other Link
		other.Read([]byte("{}"), LeafHash([]byte("{}")))
		return v.CheckLink(uint64(last), other.Leaf(), &other)
	})
}
