package kafkaio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// testBatch writes record batches, also ones that no client would.
type testBatch struct {
	base       int64
	attributes uint16
	lastDelta  int32 // -1: what the records need
	count      int32 // -1: as many as there are
	firstTime  int64
	maxTime    int64
	records    []byte
	n          int32
}

func newTestBatch(base int64) *testBatch {
	return &testBatch{base: base, lastDelta: -1, count: -1, firstTime: 1000, maxTime: 2000}
}

func appendBytes(b, v []byte) []byte {
	if v == nil {
		return binary.AppendVarint(b, -1)
	}
	return append(binary.AppendVarint(b, int64(len(v))), v...)
}

func testRecord(delta int64, key, value []byte, headers ...Header) []byte {
	b := []byte{0}
	b = binary.AppendVarint(b, 5*delta) // time
	b = binary.AppendVarint(b, delta)
	b = appendBytes(appendBytes(b, key), value)
	b = binary.AppendVarint(b, int64(len(headers)))
	for _, h := range headers {
		b = appendBytes(appendBytes(b, h.Key), h.Value)
	}
	return append(binary.AppendVarint(nil, int64(len(b))), b...)
}

func (t *testBatch) add(key, value []byte, headers ...Header) *testBatch {
	t.records = append(t.records, testRecord(int64(t.n), key, value, headers...)...)
	t.n++
	return t
}

func (t *testBatch) raw(b []byte) *testBatch {
	t.records = append(t.records, b...)
	return t
}

func (t *testBatch) bytes() []byte {
	count, lastDelta := t.count, t.lastDelta
	if count == -1 {
		count = t.n
	}
	if lastDelta == -1 {
		lastDelta = max(t.n, 1) - 1
	}
	body := pack(int(t.attributes&attrCompression), t.records)
	b := binary.BigEndian.AppendUint64(nil, uint64(t.base))
	b = binary.BigEndian.AppendUint32(b, uint32(batchHeaderBytes-batchPrefixBytes+len(body)))
	b = binary.BigEndian.AppendUint32(b, 7) // leader epoch
	b = append(b, 2)                        // magic
	b = binary.BigEndian.AppendUint32(b, 0) // checksum
	b = binary.BigEndian.AppendUint16(b, t.attributes)
	b = binary.BigEndian.AppendUint32(b, uint32(lastDelta))
	b = binary.BigEndian.AppendUint64(b, uint64(t.firstTime))
	b = binary.BigEndian.AppendUint64(b, uint64(t.maxTime))
	b = binary.BigEndian.AppendUint64(b, ^uint64(0)) // producer
	b = binary.BigEndian.AppendUint16(b, ^uint16(0))
	b = binary.BigEndian.AppendUint32(b, ^uint32(0))
	b = binary.BigEndian.AppendUint32(b, uint32(count))
	b = append(b, body...)
	return seal(b)
}

// seal makes the checksum right.
func seal(b []byte) []byte {
	binary.BigEndian.PutUint32(b[batchCRCAt:], crc32.Checksum(b[batchCRCFrom:], castagnoli))
	return b
}

func pack(codec int, b []byte) []byte {
	var out bytes.Buffer
	var w io.WriteCloser
	switch codec {
	case codecGzip:
		w = gzip.NewWriter(&out)
	case codecSnappy:
		return snappy.Encode(nil, b)
	case codecLZ4:
		w = lz4.NewWriter(&out)
	case codecZstd:
		var err error
		if w, err = zstd.NewWriter(&out); err != nil {
			panic(err)
		}
	default:
		return b
	}
	if _, err := w.Write(b); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// xerial frames Snappy as Java's clients do, in blocks of n bytes.
func xerial(b []byte, n int) []byte {
	out := append(slices.Clone(xerialMagic), 0, 0, 0, 1, 0, 0, 0, 1)
	for chunk := range slices.Chunk(b, n) {
		block := snappy.Encode(nil, chunk)
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(block))), block...)
	}
	return out
}

// decodeAll decodes a record set as a follower does, with Batches from a pool of two.
func decodeAll(t testing.TB, set []byte, from int64, maxPlain int) (all []Record, next int64, err error) {
	t.Helper()
	m := newMemory(2, maxPlain)
	d := decoder{maxPlain: maxPlain, agreed: noBase}
	r := m.response()
	r.buf = append(r.buf[:0], set...)
	d.start(r, r.buf, from)
	next = from
	for !d.done() {
		b := <-m.slabs
		err = d.fill(b)
		if b.next < next {
			t.Fatalf("went back from %d to %d", next, b.next)
		}
		next = b.next
		for i := range b.records {
			all = append(all, b.records[i].clone())
		}
		// Memory that is used too early shows.
		for i := range b.records {
			for j := range b.records[i].Value {
				b.records[i].Value[j] = '!'
			}
		}
		b.recycle()
		if err != nil {
			break
		}
	}
	r.release()
	if len(m.responses) != 3 || len(m.slabs) != 2 {
		t.Fatalf("%d of 3 responses and %d of 2 slabs came back", len(m.responses), len(m.slabs))
	}
	return all, next, err
}

func TestDecodeRecord(t *testing.T) {
	set := newTestBatch(40).
		add([]byte("k"), []byte("v")).
		add(nil, nil).
		add([]byte{}, []byte{}, Header{[]byte("a"), []byte("1")}, Header{[]byte("a"), nil}, Header{[]byte(""), []byte{}}).
		bytes()
	all, next, err := decodeAll(t, set, 40, 64<<10)
	if err != nil || next != 43 || len(all) != 3 {
		t.Fatalf("got %d records, next %d, %v", len(all), next, err)
	}
	if r := all[0]; r.Offset != 40 || r.TimeMillis != 1000 || string(r.Key) != "k" || string(r.Value) != "v" || len(r.Headers) != 0 {
		t.Errorf("first record is %+v", r)
	}
	if r := all[1]; r.Offset != 41 || r.TimeMillis != 1005 || r.Key != nil || r.Value != nil {
		t.Errorf("null is not nil: %+v", r)
	}
	r := all[2]
	if r.Key == nil || r.Value == nil || len(r.Key)+len(r.Value) != 0 {
		t.Errorf("empty is nil: %+v", r)
	}
	if v, ok := r.Header("a"); !ok || v != nil || len(r.Headers) != 3 || string(r.Headers[0].Value) != "1" {
		t.Errorf("headers are %+v", r.Headers)
	}
	if v, ok := r.Header(""); !ok || v == nil || len(v) != 0 {
		t.Errorf("header with an empty value is %v, %v", v, ok)
	}
	if _, ok := r.Header("b"); ok {
		t.Error("a header that is not there was found")
	}
}

func TestDecodeSkipsWhatIsBefore(t *testing.T) {
	set := slices.Concat(newTestBatch(10).add(nil, []byte("10")).add(nil, []byte("11")).bytes(),
		newTestBatch(12).add(nil, []byte("12")).bytes())
	for from := int64(10); from <= 12; from++ {
		d := decoder{maxPlain: 64 << 10, agreed: anyBase}
		r := &response{}
		d.start(r, set, from)
		var b slab
		if err := d.fill(&b); err != nil || !d.done() || b.next != 13 || len(b.records) != int(13-from) || b.records[0].Offset != from {
			t.Errorf("from %d: %d records, next %d, %v", from, len(b.records), b.next, err)
		}
	}
}

func TestDecodeMisplaced(t *testing.T) {
	f := func(base, from int64) {
		t.Helper()
		_, next, err := decodeAll(t, newTestBatch(base).add(nil, nil).add(nil, nil).bytes(), from, 64<<10)
		var misplaced *misplacedError
		if !errors.As(err, &misplaced) || misplaced.found != base || misplaced.wanted != from || next != from {
			t.Errorf("batch at %d for offset %d: next %d, %v", base, from, next, err)
		}
	}
	f(10, 9)
	f(10, 11)
	f(10, 12)
}

func TestDecodeCompactedBatchGoesOnAfterItsLastOffset(t *testing.T) {
	compacted := newTestBatch(0).add(nil, []byte("0"))
	compacted.lastDelta = 9
	empty := newTestBatch(10)
	empty.lastDelta = 4
	all, next, err := decodeAll(t, slices.Concat(compacted.bytes(), empty.bytes()), 0, 64<<10)
	if err != nil || len(all) != 1 || next != 15 {
		t.Fatalf("got %d records, next %d, %v", len(all), next, err)
	}
}

func TestDecodeControlBatch(t *testing.T) {
	marker := newTestBatch(1).add([]byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 0})
	marker.attributes = attrControl | 0x10
	set := slices.Concat(newTestBatch(0).add(nil, []byte("a")).bytes(), marker.bytes(), newTestBatch(2).add(nil, []byte("b")).bytes())
	all, next, err := decodeAll(t, set, 0, 64<<10)
	if err != nil || len(all) != 2 || all[1].Offset != 2 || next != 3 {
		t.Fatalf("got %d records, next %d, %v", len(all), next, err)
	}
	if all, next, err = decodeAll(t, marker.bytes(), 1, 64<<10); err != nil || len(all) != 0 || next != 2 {
		t.Fatalf("marker alone: %d records, next %d, %v", len(all), next, err)
	}
}

func TestDecodeLogAppendTime(t *testing.T) {
	b := newTestBatch(0).add(nil, nil).add(nil, nil)
	b.attributes = attrLogAppendTime
	all, _, err := decodeAll(t, b.bytes(), 0, 64<<10)
	if err != nil || all[0].TimeMillis != 2000 || all[1].TimeMillis != 2000 {
		t.Fatalf("got %+v, %v", all, err)
	}
}

func TestDecodeCodecs(t *testing.T) {
	f := func(name string, attributes uint16, body func(records []byte) []byte) {
		t.Run(name, func(t *testing.T) {
			const n = 3000
			value := func(i int) []byte { return fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", i%700)) }
			b := newTestBatch(100)
			for i := range n {
				b.add(fmt.Appendf(nil, "k%d", i), value(i), Header{[]byte("h"), fmt.Append(nil, i)})
			}
			set := b.bytes()
			if attributes != 0 {
				packed := body(b.records)
				set = append(set[:batchHeaderBytes:batchHeaderBytes], packed...)
				binary.BigEndian.PutUint32(set[8:], uint32(len(set)-batchPrefixBytes))
				binary.BigEndian.PutUint16(set[21:], attributes)
				seal(set)
			}
			for _, maxPlain := range []int{64 << 10, 100_003, 4 << 20} {
				// Another batch after it, so that the end is looked for in the right place.
				all, next, err := decodeAll(t, slices.Concat(set, newTestBatch(100+n).add(nil, []byte("end")).bytes()), 100, maxPlain)
				if err != nil || len(all) != n+1 || next != 100+n+1 {
					t.Fatalf("got %d records, next %d, %v", len(all), next, err)
				}
				for i, r := range all[:n] {
					if h, _ := r.Header("h"); r.Offset != int64(100+i) || !bytes.Equal(r.Value, value(i)) || string(r.Key) != fmt.Sprint("k", i) || string(h) != fmt.Sprint(i) {
						t.Fatalf("record %d is %+v", i, r)
					}
				}
			}
		})
	}
	f("none", 0, nil)
	f("gzip", codecGzip, func(b []byte) []byte { return pack(codecGzip, b) })
	f("snappy, bare", codecSnappy, func(b []byte) []byte { return pack(codecSnappy, b) })
	f("snappy, framed", codecSnappy, func(b []byte) []byte { return xerial(b, 32<<10) })
	f("lz4", codecLZ4, func(b []byte) []byte { return pack(codecLZ4, b) })
	f("zstd", codecZstd, func(b []byte) []byte { return pack(codecZstd, b) })
}

func TestDecodeBoundsTheRecordsOfABatch(t *testing.T) {
	for _, codec := range []uint16{codecNone, codecZstd} {
		b := newTestBatch(0)
		b.attributes = codec
		const n = 3*maxBatchRecords + 17
		for range n {
			b.add(nil, nil)
		}
		m := newMemory(1, 4<<20)
		d := decoder{maxPlain: 4 << 20, agreed: noBase}
		r := m.response()
		d.start(r, b.bytes(), 0)
		sizes := []int{}
		for !d.done() {
			one := <-m.slabs
			if err := d.fill(one); err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, len(one.records))
			one.recycle()
		}
		if !slices.Equal(sizes, []int{maxBatchRecords, maxBatchRecords, maxBatchRecords, 17}) || d.next != n {
			t.Errorf("codec %d: batches of %v records, next %d", codec, sizes, d.next)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	f := func(name string, set []byte, want string) {
		t.Helper()
		all, next, err := decodeAll(t, set, 0, 64<<10)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %d records, next %d and error %v, want %q", name, len(all), next, err, want)
		}
	}
	lying := func(change func(*testBatch)) []byte {
		b := newTestBatch(0).add([]byte("key"), []byte("value")).add([]byte("key"), []byte("value"))
		change(b)
		return b.bytes()
	}
	plain := lying(func(*testBatch) {})
	f("no records at all", plain[:5], "breaks off")
	f("half a batch", plain[:len(plain)-1], "breaks off")
	f("more records than offsets", lying(func(b *testBatch) { b.count = 3 }), "3 records at 2 offsets")
	f("a record count for 64 GB", lying(func(b *testBatch) { b.count, b.lastDelta = 1<<31-1, 1<<31-2 }), "breaks off")
	f("a negative record count", lying(func(b *testBatch) { b.count = -2 }), "-2 records")
	f("fewer records than there are", lying(func(b *testBatch) { b.count = 1 }), "follow its last record")
	f("fewer records than it says", lying(func(b *testBatch) { b.count, b.lastDelta = 3, 2 }), "breaks off")
	f("offsets beyond the last", lying(func(b *testBatch) { b.lastDelta, b.count = 0, 1; b.records = testRecord(5, nil, nil) }), "offset 5 after -1")
	f("an offset twice", lying(func(b *testBatch) { b.records = slices.Concat(testRecord(0, nil, nil), testRecord(0, nil, nil)) }), "offset 0 after 0")
	f("offsets backwards", lying(func(b *testBatch) { b.records = slices.Concat(testRecord(1, nil, nil), testRecord(0, nil, nil)) }), "offset 0 after 1")
	f("a record longer than its parts", lying(func(b *testBatch) {
		b.records[0] += 2
		b.records = append(b.records[:12:12], append([]byte{0}, b.records[12:]...)...)
	}), "")
	f("a huge number of headers", newTestBatchWith(binary.AppendVarint([]byte{0, 0, 0, 1, 1}, 1<<62)), "do not fit")
	f("a negative number of headers", newTestBatchWith(binary.AppendVarint([]byte{0, 0, 0, 1, 1}, -1)), "do not fit")
	f("a header without a name", newTestBatchWith([]byte{0, 0, 0, 1, 1, 2, 1, 1}), "do not fit")
	f("a key of -2 bytes", newTestBatchWith([]byte{0, 0, 0, 3, 1, 0}), "do not fit")
	f("a record of -5 bytes", lying(func(b *testBatch) { b.records = binary.AppendVarint(nil, -5) }), "-5 bytes long")
	f("a number without an end", lying(func(b *testBatch) { b.records = bytes.Repeat([]byte{0xff}, 20) }), "no number")
	for codec := uint16(1); codec <= 7; codec++ {
		bad := lying(func(*testBatch) {})
		binary.BigEndian.PutUint16(bad[21:], codec)
		f(fmt.Sprintf("what is not codec %d", codec), seal(bad), "")
	}
	truncated := lying(func(b *testBatch) { b.attributes = codecGzip })
	truncated = truncated[:len(truncated)-6]
	binary.BigEndian.PutUint32(truncated[8:], uint32(len(truncated)-batchPrefixBytes))
	f("gzip that breaks off", seal(truncated), "")
	f("trailing compressed bytes", lying(func(b *testBatch) { b.attributes = codecZstd; b.raw([]byte{1, 2, 3}) }), "follow its last record")
	claims := lying(func(b *testBatch) { b.attributes = codecSnappy })
	claims = append(claims[:batchHeaderBytes:batchHeaderBytes], 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3)
	binary.BigEndian.PutUint32(claims[8:], uint32(len(claims)-batchPrefixBytes))
	f("Snappy that claims 4 GB", seal(claims), "impossible length")

	old := slices.Clone(plain)
	old[batchMagicAt] = 1
	f("message format v1", old, "format is v1")
	f("a length of nothing", append(make([]byte, 11), 1), "its length is")
	f("a negative length", append(append(make([]byte, 8), 0xff, 0xff, 0xff, 0xff), plain[12:]...), "its length is")
	f("a negative base offset", append(bytes.Repeat([]byte{0xff}, 8), plain[8:]...), "its offsets are")
}

// newTestBatchWith makes a batch of one record with these bytes after its length.
func newTestBatchWith(record []byte) []byte {
	b := newTestBatch(0)
	b.records = append(binary.AppendVarint(nil, int64(len(record))), record...)
	b.n = 1
	return b.bytes()
}

// Any changed byte is found, except where it is corrected: in the leader's epoch, which nobody reads.
func TestDecodeFindsEachFlippedByte(t *testing.T) {
	for _, codec := range []uint16{codecNone, codecGzip, codecSnappy, codecLZ4, codecZstd} {
		b := newTestBatch(1000)
		b.attributes = codec
		for i := range 20 {
			b.add(fmt.Append(nil, "key", i), []byte("some value, some value"), Header{[]byte("name"), []byte("x")})
		}
		set := b.bytes()
		want, _, err := decodeAll(t, set, 1000, 64<<10)
		if err != nil {
			t.Fatal(err)
		}
		for at := range set {
			for _, mask := range []byte{0x01, 0x80, 0xff} {
				flipped := slices.Clone(set)
				flipped[at] ^= mask
				all, next, err := decodeAll(t, flipped, 1000, 64<<10)
				epoch := at >= 12 && at < 16
				switch {
				case epoch && err != nil:
					t.Errorf("codec %d, byte %d: %v", codec, at, err)
				case epoch && len(all) != len(want):
					t.Errorf("codec %d, byte %d: %d records", codec, at, len(all))
				case !epoch && (err == nil || len(all) != 0 || next != 1000):
					t.Errorf("codec %d, byte %d: went unseen: %d records, next %d", codec, at, len(all), next)
				}
			}
		}
	}
}

// What is good before a bad batch is delivered, and the next fetch begins at the bad one.
func TestDecodeDeliversWhatComesBeforeABadBatch(t *testing.T) {
	good, bad := newTestBatch(0).add(nil, []byte("a")).add(nil, []byte("b")).bytes(), newTestBatch(2).add(nil, []byte("c")).bytes()
	bad[len(bad)-1] ^= 1
	all, next, err := decodeAll(t, slices.Concat(good, bad), 0, 64<<10)
	if err == nil || len(all) != 2 || next != 2 {
		t.Fatalf("got %d records, next %d, %v", len(all), next, err)
	}
	all, next, err = decodeAll(t, slices.Concat(good, bad[:40]), 0, 64<<10) // how brokers end a full answer
	if err != nil || len(all) != 2 || next != 2 {
		t.Fatalf("got %d records, next %d, %v", len(all), next, err)
	}
}

func TestDecodeCutsHugeRecords(t *testing.T) {
	for codec := uint16(codecNone); codec <= codecZstd; codec++ {
		huge := bytes.Repeat([]byte("0123456789abcdef"), (MaxDeliveredBytes+5000)/16)
		b := newTestBatch(0).add([]byte("a"), []byte("before")).
			add([]byte("key"), huge, Header{[]byte("h"), nil}).
			add(huge, []byte("value")). // not even the key fits
			add(nil, huge[:MaxDeliveredBytes-100]).
			add([]byte("z"), []byte("after"))
		b.attributes = codec
		all, next, err := decodeAll(t, b.bytes(), 0, 64<<10)
		if err != nil || len(all) != 5 || next != 5 {
			t.Fatalf("codec %d: %d records, next %d, %v", codec, len(all), next, err)
		}
		if r := all[1]; string(r.Key) != "key" || !bytes.HasPrefix(huge, r.Value) || len(r.Value) < MaxDeliveredBytes-100 || len(r.Value)+int(r.CutBytes) < len(huge) || r.CutBytes < 4000 || r.Headers != nil || r.Offset != 1 {
			t.Errorf("codec %d: huge value: key %q, %d bytes of value, %d cut", codec, r.Key, len(r.Value), r.CutBytes)
		}
		if r := all[2]; r.Key != nil || r.Value != nil || r.CutBytes == 0 || r.Offset != 2 {
			t.Errorf("codec %d: huge key: %d bytes of key, %d of value, %d cut", codec, len(r.Key), len(r.Value), r.CutBytes)
		}
		if r := all[3]; len(r.Value) != MaxDeliveredBytes-100 || r.CutBytes != 0 {
			t.Errorf("codec %d: a record that just fits: %d bytes of value, %d cut", codec, len(r.Value), r.CutBytes)
		}
		if r := all[4]; string(r.Value) != "after" || r.Offset != 4 {
			t.Errorf("codec %d: the record after it is %q at %d", codec, r.Value, r.Offset)
		}
	}
}

// A record of 256 MiB in a batch of a few hundred kilobytes, or of a few with zstd.
func TestDecodeBombTakesLittleMemory(t *testing.T) {
	const size = 256 << 20
	for _, codec := range []uint16{codecGzip, codecZstd} {
		var packed bytes.Buffer
		var w io.WriteCloser = gzip.NewWriter(&packed)
		if codec == codecZstd {
			var err error
			if w, err = zstd.NewWriter(&packed); err != nil {
				t.Fatal(err)
			}
		}
		head := []byte{0, 0, 0, 1} // no attributes, time and offset 0, no key
		head = binary.AppendVarint(head, size)
		w.Write(binary.AppendVarint(nil, int64(len(head)+size+1)))
		w.Write(head)
		zeros := make([]byte, 1<<20)
		for range size / len(zeros) {
			w.Write(zeros)
		}
		w.Write([]byte{0}) // no headers
		w.Close()
		set := newTestBatch(0).add(nil, nil).bytes()
		set = append(set[:batchHeaderBytes:batchHeaderBytes], packed.Bytes()...)
		binary.BigEndian.PutUint32(set[8:], uint32(len(set)-batchPrefixBytes))
		binary.BigEndian.PutUint16(set[21:], codec)
		seal(set)

		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		all, next, err := decodeAll(t, set, 0, 1<<20)
		runtime.ReadMemStats(&after)
		if err != nil || len(all) != 1 || next != 1 || all[0].CutBytes < size-MaxDeliveredBytes-100 {
			t.Fatalf("codec %d: %d records, next %d, %v", codec, len(all), next, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
			t.Errorf("codec %d: %d bytes of batch took %d MiB", codec, len(set), took>>20)
		}
	}
}

// In the steady state nothing is allocated, however many records there are.
func TestDecodeAllocatesNothing(t *testing.T) {
	f := func(codec uint16, most float64) {
		t.Helper()
		b := newTestBatch(0)
		b.attributes = codec
		for i := range 1000 {
			b.add(fmt.Append(nil, i), bytes.Repeat([]byte{'x'}, 300), Header{[]byte("h"), []byte("v")})
		}
		set := b.bytes()
		m := newMemory(1, 1<<20)
		d := decoder{maxPlain: 1 << 20, agreed: noBase}
		r := m.response()
		n := testing.AllocsPerRun(50, func() {
			d.start(r, set, 0)
			for !d.done() {
				one := <-m.slabs
				if err := d.fill(one); err != nil {
					t.Fatal(err)
				}
				one.recycle()
			}
		})
		if n > most {
			t.Errorf("codec %d: %v allocations for a batch of 1000 records", codec, n)
		}
	}
	f(codecNone, 0)
	f(codecSnappy, 0)
	f(codecGzip, 2)
	f(codecLZ4, 4)
	f(codecZstd, 8)
}

// FuzzDecode checks that no record set makes the decoder panic, go back, or deliver what is out of order.
func FuzzDecode(f *testing.F) {
	for codec := uint16(0); codec <= 4; codec++ {
		b := newTestBatch(3).add([]byte("k"), []byte("v"), Header{[]byte("h"), nil}).add(nil, nil)
		b.attributes = codec
		f.Add(b.bytes(), int64(3), true)
		f.Add(slices.Concat(b.bytes(), newTestBatch(5).add(nil, []byte("w")).bytes()), int64(4), false)
	}
	f.Fuzz(func(t *testing.T, set []byte, from int64, fix bool) {
		if from < 0 {
			return
		}
		set = slices.Clone(set)
		if fix && len(set) >= batchHeaderBytes { // get past the checksum
			if n := int64(binary.BigEndian.Uint32(set[8:])) + batchPrefixBytes; n >= batchHeaderBytes && n <= int64(len(set)) {
				seal(set[:n])
			}
		}
		all, next, err := decodeAll(t, set, from, 64<<10)
		last := from - 1
		for _, r := range all {
			if r.Offset <= last {
				t.Fatalf("offset %d after %d", r.Offset, last)
			}
			last = r.Offset
		}
		if next <= last && last >= from {
			t.Fatalf("next is %d after %d (%v)", next, last, err)
		}
	})
}
