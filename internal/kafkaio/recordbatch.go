package kafkaio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The record batch of Kafka 0.11 and later, "message format v2" (https://kafka.apache.org/documentation/#recordbatch).
const (
	batchPrefixBytes = 12 // base offset and length; the length counts what follows
	batchMagicAt     = 16 // the same place in all formats
	batchCRCAt       = 17
	batchCRCFrom     = 21 // the checksum covers all that follows it, so neither base offset nor length
	batchHeaderBytes = 61

	attrCompression   = 0x07
	attrLogAppendTime = 0x08
	attrControl       = 0x20
)

// The codecs of attrCompression.
const (
	codecNone = iota
	codecGzip
	codecSnappy
	codecLZ4
	codecZstd
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errPartial: the batch does not end within the bytes that came. That is how a broker ends an answer that is full.
var errPartial = errors.New("the batch breaks off")

// badBatch is why bytes are no batch; it quotes nothing of records.
type badBatch struct{ reason string }

func (e *badBatch) Error() string { return e.reason }

func bad(format string, args ...any) error { return &badBatch{fmt.Sprintf(format, args...)} }

// batchHeader is a batch whose checksum was right.
type batchHeader struct {
	base       int64 // offset of the first record that the batch was written with
	last       int64 // offset of the last one; compaction keeps it even if it removes that record
	attributes uint16
	firstTime  int64 // Unix milliseconds; records give theirs as a difference to it
	maxTime    int64
	count      int32  // records in body
	body       []byte // records, compressed as attributes says
}

func (h *batchHeader) codec() int       { return int(h.attributes & attrCompression) }
func (h *batchHeader) control() bool    { return h.attributes&attrControl != 0 }
func (h *batchHeader) appendTime() bool { return h.attributes&attrLogAppendTime != 0 }

// parseBatch takes the first batch off b and returns what is left. The body aliases b.
func parseBatch(b []byte, h *batchHeader) (rest []byte, err error) {
	if len(b) < batchPrefixBytes {
		return nil, errPartial
	}
	base := int64(binary.BigEndian.Uint64(b))
	length := int(int32(binary.BigEndian.Uint32(b[8:])))
	if length < batchHeaderBytes-batchPrefixBytes && length < batchMagicAt-batchPrefixBytes+1 {
		return nil, bad("its length is %d bytes", length)
	}
	if len(b) <= batchMagicAt || len(b)-batchPrefixBytes < length {
		return nil, errPartial
	}
	if magic := b[batchMagicAt]; magic != 2 {
		return nil, bad("its message format is v%d, and only v2 (written by Kafka 0.11 and later) is read", magic)
	}
	if length < batchHeaderBytes-batchPrefixBytes {
		return nil, bad("its length is %d bytes, less than a header", length)
	}
	whole, rest := b[:batchPrefixBytes+length], b[batchPrefixBytes+length:]
	if got, want := crc32.Checksum(whole[batchCRCFrom:], castagnoli), binary.BigEndian.Uint32(whole[batchCRCAt:]); got != want {
		return nil, bad("its checksum is %08x, not %08x as it says", got, want)
	}
	*h = batchHeader{
		base:       base,
		last:       base + int64(int32(binary.BigEndian.Uint32(whole[23:]))),
		attributes: binary.BigEndian.Uint16(whole[21:]),
		firstTime:  int64(binary.BigEndian.Uint64(whole[27:])),
		maxTime:    int64(binary.BigEndian.Uint64(whole[35:])),
		count:      int32(binary.BigEndian.Uint32(whole[57:])),
		body:       whole[batchHeaderBytes:],
	}
	switch {
	case base < 0 || h.last < base:
		return nil, bad("its offsets are %d to %d", base, h.last)
	case h.count < 0 || int64(h.count) > h.last-base+1:
		return nil, bad("it claims %d records at %d offsets", h.count, h.last-base+1)
	}
	return rest, nil
}
