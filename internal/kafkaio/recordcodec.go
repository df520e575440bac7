package kafkaio

import "encoding/binary"

// errShort: more bytes are needed. Only in an unpacked stream that is a reason to read on; elsewhere it is the end of a broken batch.
var errShort = bad("a record breaks off")

// minRecordBytes is what the smallest record takes: its length, and one byte for each of the six parts.
const minRecordBytes = 7

// varint reads a zigzag number; n is 0 if b ends within it or it has more than 64 bits.
func varint(b []byte) (v int64, n int) {
	// Nearly all are of one or two bytes.
	if len(b) > 1 {
		if b[0] < 0x80 {
			return int64(b[0]>>1) ^ -int64(b[0]&1), 1
		}
		if b[1] < 0x80 {
			u := uint64(b[0]&0x7f) | uint64(b[1])<<7
			return int64(u>>1) ^ -int64(u&1), 2
		}
	}
	v, n = binary.Varint(b)
	return v, max(n, 0)
}

// recordLength reads the length that stands before a record. errShort: it is not all there.
func recordLength(b []byte) (length, n int, err error) {
	v, n := varint(b)
	if n == 0 {
		if len(b) >= binary.MaxVarintLen64 {
			return 0, 0, bad("a record's length is no number")
		}
		return 0, 0, errShort
	}
	if v < minRecordBytes-1 || v > 1<<31-1 {
		return 0, 0, bad("a record is %d bytes long", v)
	}
	return int(v), n, nil
}

// fields reads the parts of one record.
type fields struct {
	b  []byte
	ok bool // false once something did not fit
}

func (f *fields) number() int64 {
	v, n := varint(f.b)
	if n == 0 {
		f.ok = false
		return 0
	}
	f.b = f.b[n:]
	return v
}

// bytes reads a length and so many bytes; nil for length -1.
func (f *fields) bytes() []byte {
	n := f.number()
	if n == -1 {
		return nil
	}
	if !f.ok || n < 0 || n > int64(len(f.b)) {
		f.ok = false
		return nil
	}
	v := f.b[:n:n] // not nil if it is empty
	f.b = f.b[n:]
	return v
}

// parseRecord reads a record that is all there (b is as long as the record says). Offsets and times are made absolute.
func parseRecord(b []byte, h *batchHeader, r *Record, headers []Header) ([]Header, error) {
	f := fields{b: b[1:], ok: true} // b[0] are attributes, of which Kafka uses none
	r.TimeMillis = h.firstTime + f.number()
	r.Offset = h.base + f.number()
	r.Key = f.bytes()
	r.Value = f.bytes()
	r.Headers, r.CutBytes = nil, 0
	count := f.number()
	if !f.ok || count < 0 || count > int64(len(f.b))/2 {
		return headers, bad("the parts of a record do not fit its length")
	}
	if count > 0 {
		first := len(headers)
		for range count {
			key, value := f.bytes(), f.bytes()
			if !f.ok || key == nil {
				return headers[:first], bad("the headers of a record do not fit its length")
			}
			headers = append(headers, Header{key, value})
		}
		r.Headers = headers[first:len(headers):len(headers)]
	}
	if len(f.b) != 0 {
		return headers, bad("a record is %d bytes longer than its parts", len(f.b))
	}
	if h.appendTime() {
		r.TimeMillis = h.maxTime
	}
	return headers, nil
}

// parseCut reads what can be read of a record of which only the beginning is kept: offset, time, and as much of key and value as is there.
func parseCut(prefix []byte, length int, h *batchHeader, r *Record) error {
	f := fields{b: prefix[1:], ok: true}
	r.TimeMillis = h.firstTime + f.number()
	r.Offset = h.base + f.number()
	if !f.ok {
		return bad("the parts of a record do not fit its length")
	}
	if h.appendTime() {
		r.TimeMillis = h.maxTime
	}
	r.Key, r.Value, r.Headers, r.CutBytes = nil, nil, nil, int64(length-len(prefix))
	if r.Key = f.bytes(); !f.ok {
		r.Key = nil
		return nil // the key alone is too long
	}
	n := f.number()
	if !f.ok || n < 0 {
		return nil
	}
	r.Value = f.b[:min(n, int64(len(f.b)))]
	return nil
}
