package events

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
)

// positionBytes is the size of the position file: segment, offset, index, and
// the CRC-32C of them. It is overwritten in place and never synced: a lost or
// torn one only makes events be sent again from the first segment that is left.
const positionBytes = 8 + 8 + 8 + 4

// openPosition opens the position file and reads the place in it; the zero
// place if there is none that is whole.
func openPosition(path string) (*os.File, place, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, place{}, fmt.Errorf("open the spool's position: %w", err)
	}
	var b [positionBytes]byte
	if _, err := f.ReadAt(b[:], 0); err != nil ||
		crc32.Checksum(b[:24], castagnoli()) != binary.BigEndian.Uint32(b[24:]) {
		return f, place{}, nil
	}
	return f, place{
		segment: binary.BigEndian.Uint64(b[:]),
		offset:  int64(binary.BigEndian.Uint64(b[8:])),
		index:   binary.BigEndian.Uint64(b[16:]),
	}, nil
}

func writePosition(f *os.File, at place) error {
	b := make([]byte, 0, positionBytes)
	b = binary.BigEndian.AppendUint64(b, at.segment)
	b = binary.BigEndian.AppendUint64(b, uint64(at.offset))
	b = binary.BigEndian.AppendUint64(b, at.index)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
	if _, err := f.WriteAt(b, 0); err != nil {
		return fmt.Errorf("note the spool's position: %w", err)
	}
	return nil
}
