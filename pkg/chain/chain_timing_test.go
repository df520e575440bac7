package chain

import "testing"

func BenchmarkParseHeader(b *testing.B) {
	entry := newLog(b, testLog, 4).entries[2].entry
	var h Header
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseHeader(entry, &h); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendEntry(b *testing.B) {
	entry := newLog(b, testLog, 4).entries[2].entry
	var h Header
	body, err := ParseHeader(entry, &h)
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 2*len(entry))
	b.ReportAllocs()
	for b.Loop() {
		AppendEntry(dst, &h, body)
	}
}

func BenchmarkLeaf(b *testing.B) {
	entry := newLog(b, testLog, 4).entries[2].entry
	hasher := NewHasher()
	b.SetBytes(int64(len(entry)))
	for b.Loop() {
		hasher.Leaf(entry)
	}
}

// BenchmarkCheck is one entry of a chain: hash, header, link, rules.
func BenchmarkCheck(b *testing.B) {
	log := newLog(b, testLog, 3)
	v := NewVerifier(testLog)
	if err := v.Check(0, log.entries[0].entry, log.entries[0].leaf); err != nil {
		b.Fatal(err)
	}
	after, e := *v, log.entries[1]
	b.SetBytes(int64(len(e.entry)))
	b.ReportAllocs()
	for b.Loop() {
		*v = after
		if err := v.Check(e.seq, e.entry, e.leaf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseEntry(b *testing.B) {
	entry := newLog(b, testLog, 4).entries[2].entry
	var e Entry
	b.ReportAllocs()
	for b.Loop() {
		if err := ParseEntry(entry, &e); err != nil {
			b.Fatal(err)
		}
	}
}
