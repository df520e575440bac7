package kafkaio

import (
	"errors"
	"fmt"
	"io"
)

// maxBatchRecords bounds what a Batch takes beside the records' bytes: about 100 bytes each.
const maxBatchRecords = 32 << 10

// Values of decoder.agreed that are no offsets.
const (
	noBase  = -1
	anyBase = -2
)

// firstPlainBytes is what a Batch first takes for unpacked records; it grows with the traffic.
const firstPlainBytes = 64 << 10

// misplacedError: a batch does not begin at the offset that is wanted. Where fetching begins within a batch that is as it should be, and
// on a compacted topic numbers are missing. But a damaged base offset, which the checksum does not cover, looks the same and
// would move records to other offsets, so the follower fetches again over another connection and goes on if that says the same.
type misplacedError struct{ wanted, found int64 }

func (e *misplacedError) Error() string {
	return fmt.Sprintf("a batch begins at offset %d instead of %d", e.found, e.wanted)
}

// decoder turns the record set of one answer into Batches of bounded size. Records of a batch that is not compressed alias the answer;
// others are unpacked piece by piece. Compared with kafka-go's own decoding it
//
//   - believes no count and no length before the checksum, and allocates nothing that a producer chose;
//   - refuses a batch that breaks off or has other records than it says, instead of delivering its beginning;
//   - knows the last offset of a batch, also where compaction removed its last records, so it never guesses where to go on;
//   - uses the time that the broker set where the topic says so.
//
// One goroutine may use it.
type decoder struct {
	maxPlain int // bytes that a Batch may hold unpacked

	unpack   unpacker
	response *response
	rest     []byte // batches not begun
	next     int64  // the offset to deliver next
	agreed   int64  // a batch may begin here, whatever next is; anyBase: each may begin anywhere

	open  bool        // a batch is under way:
	batch batchHeader // its header
	left  int32       // its records not read yet
	last  int64       // offset of its record read last
	plain []byte      // not compressed: its bytes not read yet
	pack  io.Reader   // compressed: its stream
	probe [1]byte     // for looking whether anything follows
	carry []byte      // compressed: unpacked bytes that did not fit into the last Batch
}

// start begins with the record set of an answer, which must stay as it is until the decoder is done or starts again.
func (d *decoder) start(r *response, records []byte, next int64) {
	d.response, d.rest, d.next = r, records, next
	d.open, d.carry = false, d.carry[:0]
}

// done says that nothing is left of the answer.
func (d *decoder) done() bool { return !d.open && len(d.rest) == 0 }

// fill appends records to b until it is full or nothing is left, and sets s.next. After an error b holds what came before the bad place,
// and the rest of the answer is given up.
func (d *decoder) fill(s *slab) error {
	err := d.read(s)
	if err != nil {
		d.open, d.rest = false, nil
	}
	s.next = d.next
	return err
}

func (d *decoder) read(s *slab) error {
	for {
		if !d.open {
			if len(d.rest) == 0 {
				return nil
			}
			switch err := d.openBatch(); {
			case errors.Is(err, errPartial) && len(s.records) > 0:
				d.rest = nil
				return nil
			case err != nil:
				return err
			case !d.open:
				continue
			}
		}
		full, err := d.readBatch(s)
		if err != nil || full {
			return err
		}
		d.open = false
		d.next = max(d.next, d.batch.last+1)
	}
}

// openBatch checks the next batch and opens it, unless nothing in it is to be delivered.
func (d *decoder) openBatch() error {
	rest, err := parseBatch(d.rest, &d.batch)
	if err != nil {
		return err
	}
	h := &d.batch
	if h.base != d.next && h.base != d.agreed && d.agreed != anyBase {
		return &misplacedError{d.next, h.base}
	}
	d.rest = rest
	if h.last < d.next {
		return nil // before the wanted offset
	}
	if h.control() {
		d.next = h.last + 1 // a transaction's marker: an offset, but no record
		return nil
	}
	d.open, d.left, d.last = true, h.count, h.base-1
	d.plain, d.pack, d.carry = nil, nil, d.carry[:0]
	if h.codec() == codecNone {
		d.plain = h.body
		return nil
	}
	if h.count == 0 {
		return nil
	}
	if d.pack, err = d.unpack.open(h.codec(), h.body); err != nil {
		return bad("it does not unpack: %v", err)
	}
	return nil
}

// readBatch reads records of the batch under way. full: there is no room for more of them.
func (d *decoder) readBatch(s *slab) (full bool, err error) {
	if d.pack != nil {
		return d.readPacked(s)
	}
	if d.left > 0 && s.response == nil {
		s.response = d.response.hold()
	}
	for d.left > 0 {
		if len(s.records) == maxBatchRecords {
			return true, nil
		}
		length, n, err := recordLength(d.plain)
		if err != nil {
			return false, err
		}
		if length > len(d.plain)-n {
			return false, errShort
		}
		if err := d.record(s, d.plain[n:n+length], length); err != nil {
			return false, err
		}
		d.plain = d.plain[n+length:]
	}
	if len(d.plain) != 0 {
		return false, bad("%d bytes follow its last record", len(d.plain))
	}
	return false, nil
}

// readPacked unpacks into s.plain. A record that does not fit any more is carried into the next Batch.
func (d *decoder) readPacked(s *slab) (full bool, err error) {
	at := len(s.plain) // what is before it belongs to records
	s.plain = append(s.plain, d.carry...)
	d.carry = d.carry[:0]
	ended := false
	for d.left > 0 {
		length, n, err := recordLength(s.plain[at:])
		whole := min(length, MaxDeliveredBytes)
		switch {
		case err != nil && !errors.Is(err, errShort):
			return false, err
		case err == nil && len(s.plain)-at-n >= whole:
			if len(s.records) == maxBatchRecords {
				return d.keep(s, at), nil
			}
			if err := d.record(s, s.plain[at+n:at+n+whole], length); err != nil {
				return false, err
			}
			at += n + whole
			if whole < length {
				if err := d.skip(s, at, length-whole); err != nil {
					return false, err
				}
			}
			continue
		case ended:
			return false, errShort
		}
		// More bytes are needed. What records alias stays where it is.
		if len(s.plain) == cap(s.plain) {
			switch {
			case cap(s.plain) < d.maxPlain:
				at = s.moveTail(at, max(min(2*cap(s.plain), d.maxPlain), firstPlainBytes))
			case at > 0 && len(s.records) > 0:
				return d.keep(s, at), nil
			case at > 0:
				s.plain = s.plain[:copy(s.plain, s.plain[at:])]
				at = 0
			default:
				at = s.moveTail(at, MaxDeliveredBytes+64)
			}
			continue
		}
		m, err := io.ReadAtLeast(d.pack, s.plain[len(s.plain):cap(s.plain)], 1)
		s.plain = s.plain[:len(s.plain)+m]
		switch {
		case errors.Is(err, io.EOF):
			ended = true
		case err != nil:
			return false, bad("it does not unpack: %v", err)
		}
	}
	more := len(s.plain) > at
	s.plain = s.plain[:at]
	if !more && !ended {
		m, err := io.ReadFull(d.pack, d.probe[:])
		if err != nil && !errors.Is(err, io.EOF) {
			return false, bad("it does not unpack: %v", err)
		}
		more = m > 0
	}
	if more {
		return false, bad("bytes follow its last record")
	}
	return false, nil
}

// moveTail makes room in new memory, to which it copies what is not decoded yet.
func (s *slab) moveTail(at, size int) (newAt int) {
	tail := s.plain[at:]
	s.plain = make([]byte, len(tail), max(size, 2*len(tail)))
	copy(s.plain, tail)
	return 0
}

// keep carries what is unpacked but not read into the next Batch.
func (d *decoder) keep(s *slab, at int) (full bool) {
	d.carry = append(d.carry[:0], s.plain[at:]...)
	s.plain = s.plain[:at]
	return true
}

// skip drops n bytes of the stream, of which some may be unpacked already.
func (d *decoder) skip(s *slab, at, n int) error {
	have := min(n, len(s.plain)-at)
	s.plain = append(s.plain[:at], s.plain[at+have:]...)
	if m, err := io.CopyN(io.Discard, d.pack, int64(n-have)); err != nil {
		if errors.Is(err, io.EOF) {
			return errShort
		}
		return bad("it does not unpack after %d bytes: %v", m, err)
	}
	return nil
}

// record delivers one record, or drops it if it is before the wanted offset. body is its beginning if it is longer than MaxDeliveredBytes.
func (d *decoder) record(s *slab, body []byte, length int) (err error) {
	n := len(s.records)
	if n < cap(s.records) {
		s.records = s.records[:n+1]
	} else {
		s.records = append(s.records, Record{})
	}
	r := &s.records[n]
	if length > MaxDeliveredBytes {
		err = parseCut(body[:MaxDeliveredBytes], length, &d.batch, r)
	} else {
		s.headers, err = parseRecord(body, &d.batch, r, s.headers)
	}
	if err == nil && (r.Offset <= d.last || r.Offset > d.batch.last) {
		err = bad("a record has offset %d after %d, in a batch that ends at %d", r.Offset, d.last, d.batch.last)
	}
	if err != nil {
		s.records = s.records[:n]
		return err
	}
	d.left--
	d.last = r.Offset
	if r.Offset < d.next {
		s.records = s.records[:n]
		return nil
	}
	d.next = r.Offset + 1
	return nil
}
