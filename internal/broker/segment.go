package broker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// A segment file holds record batches of Kafka's format 2, one after the other, big endian:
// first offset 8, length of the rest 4, leader epoch 4, magic 1, CRC-32C 4 of what follows,
// attributes 2, last offset delta 4, timestamps 16, producer 14, number of records 4, records.
const (
	batchPrefixBytes = 12 // the length counts from here
	batchCRCAt       = 17
	batchSummedAt    = 21
	batchHeaderBytes = 61

	attributeTransactional = 0x10
	attributeControl       = 0x20
)

// segment is a segment file that was read through.
type segment struct {
	base          int64 // of its name: the first offset
	sizeBytes     int64
	validBytes    int64 // up to the first batch that is damaged or not whole
	first, end    int64 // offsets: of the first record, and behind the last; base without any
	epoch         int32 // of the last batch
	transactional bool
}

func (s *segment) damaged() bool { return s.validBytes < s.sizeBytes }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// readSegment checks every batch of a file. Damage is not an error but the end of validBytes.
func readSegment(path string, base int64) (*segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s := &segment{base: base, sizeBytes: info.Size(), first: base, end: base}
	r := bufio.NewReaderSize(f, 1<<20)
	var batch []byte
	for {
		batch, err = readBatch(r, batch, s.sizeBytes-s.validBytes)
		if errors.Is(err, errBadBatch) {
			return s, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		if !s.add(batch) {
			return s, nil
		}
	}
}

// errBadBatch is the end of what can be used: of the file, or by damage.
var errBadBatch = errors.New("no whole batch")

func readBatch(r io.Reader, buf []byte, left int64) ([]byte, error) {
	var prefix [batchPrefixBytes]byte
	if left < batchHeaderBytes {
		return buf, errBadBatch
	}
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return buf, err
	}
	size := int64(binary.BigEndian.Uint32(prefix[8:])) + batchPrefixBytes
	if size < batchHeaderBytes || size > left || size > maxRequestBytes {
		return buf, errBadBatch
	}
	if int64(cap(buf)) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	copy(buf, prefix[:])
	_, err := io.ReadFull(r, buf[batchPrefixBytes:])
	return buf, err
}

// add takes a batch in, unless it is damaged or out of order.
func (s *segment) add(b []byte) bool {
	if crc32.Checksum(b[batchSummedAt:], castagnoli) != binary.BigEndian.Uint32(b[batchCRCAt:]) {
		return false
	}
	first := int64(binary.BigEndian.Uint64(b))
	delta := int32(binary.BigEndian.Uint32(b[23:]))
	if first < s.end || delta < 0 {
		return false
	}
	if s.validBytes == 0 {
		s.first = first
	}
	s.end = first + int64(delta) + 1
	s.epoch = int32(binary.BigEndian.Uint32(b[12:]))
	if binary.BigEndian.Uint16(b[21:])&(attributeTransactional|attributeControl) != 0 {
		s.transactional = true
	}
	s.validBytes += int64(len(b))
	return true
}
