package verify

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// record is the entry of the system record n, which is signed the same wherever it stands.
func record(n, seq uint64) *chain.Entry {
	return &chain.Entry{
		Header:    chain.Header{Seq: seq, SealedMicros: int64(seq) * time.Second.Microseconds()},
		Signature: binary.BigEndian.AppendUint64(make([]byte, 56), n),
	}
}

// The latest records are known again, and the memory is bounded.
func TestReplaysRemembersTheLatest(t *testing.T) {
	const limit = 10
	for size := uint64(limit); size < 50; size++ {
		r := newReplays(limit)
		for n := range size {
			if first, again := r.see(record(n, n)); again {
				t.Fatalf("record %d, seen for the first time, is that of seq %d", n, first.seq)
			}
			if len(r.recent) > limit || len(r.older) > limit {
				t.Fatalf("%d and %d records are remembered", len(r.recent), len(r.older))
			}
		}
		if first, again := r.see(record(size-limit, size)); !again || first.seq != size-limit {
			t.Errorf("behind %d records, number %d again: %+v, %v", size, size-limit, first, again)
		}
		if _, again := r.see(record(0, size)); again && size > 2*limit {
			t.Errorf("the first of %d records is remembered", size)
		}
	}
}

// A record that comes again and again is named by the place where it stood first, as long as it is remembered.
func TestReplaysNamesTheFirst(t *testing.T) {
	r := newReplays(2)
	r.see(record(7, 0))
	for seq := uint64(1); seq < 20; seq++ {
		again := record(7, seq)
		if first, known := r.see(again); !known || first.seq != 0 || first.until(again) != time.Duration(seq)*time.Second {
			t.Errorf("at seq %d: %+v, %v", seq, first, known)
		}
		r.see(record(seq+100, seq))
	}
}

// Notes are bounded.
func TestNotesAreBounded(t *testing.T) {
	var n notes
	for seq := range uint64(maxNotes + 5) {
		n.add(seq, "again")
	}
	if len(n.list) != maxNotes || n.leftOut != 5 || n.list[0] != (Note{Seq: 0, Text: "again"}) {
		t.Errorf("%d notes, %d left out, the first is %+v", len(n.list), n.leftOut, n.list[0])
	}
}
