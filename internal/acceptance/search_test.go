package acceptance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// searchFiles looks for strings in every byte of a data folder but the broker's: in the files as they are, and in what ClickHouse has compressed in them. It
// says what it found where.
func searchFiles(t *testing.T, dir string, wanted []string) (files int, unpacked int64, found []string) {
	t.Helper()
	unpack := newUnpacker(t)
	look := func(path, how string, content []byte) {
		for _, w := range wanted {
			if bytes.Contains(content, []byte(w)) {
				found = append(found, path+how+": "+w)
			}
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && path == filepath.Join(dir, "kafka") {
			return filepath.SkipDir
		}
		if err != nil || !d.Type().IsRegular() { // a link's target is met at its own place
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		look(path, "", content)
		look(path, " (its name)", []byte(path))
		if strings.HasSuffix(path, ".bin") {
			plain := unpack.file(t, path, content)
			unpacked += int64(len(plain))
			look(path, " (unpacked)", plain)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, unpacked, found
}

// unpacker reads files of ClickHouse's columns: blocks of a checksum (16 bytes), a method, the size with this header and the size unpacked (4 bytes each, little
// endian), and the data.
type unpacker struct{ zstd *zstd.Decoder }

func newUnpacker(t *testing.T) *unpacker {
	t.Helper()
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return &unpacker{d}
}

const (
	checksumBytes = 16
	blockHeader   = 9

	methodNone     = 0x02
	methodLZ4      = 0x82
	methodZSTD     = 0x90
	methodMultiple = 0x91 // several codecs behind each other
	methodDelta    = 0x92
)

var errNoBlock = errors.New("no block of ClickHouse")

func (u *unpacker) file(t *testing.T, path string, content []byte) (plain []byte) {
	t.Helper()
	for len(content) > 0 {
		if len(content) < checksumBytes+blockHeader {
			t.Fatalf("%s: %v", path, errNoBlock)
		}
		block := content[checksumBytes:]
		size := int(binary.LittleEndian.Uint32(block[1:]))
		if size < blockHeader || size > len(block) {
			t.Fatalf("%s: %v", path, errNoBlock)
		}
		unpacked, err := u.block(block[:size])
		if err != nil {
			t.Fatalf("%s: method %#x: %v", path, block[0], err)
		}
		plain, content = append(plain, unpacked...), block[size:]
	}
	return plain
}

func (u *unpacker) block(block []byte) ([]byte, error) {
	if len(block) < blockHeader {
		return nil, errNoBlock
	}
	data, size := block[blockHeader:], binary.LittleEndian.Uint32(block[5:])
	switch block[0] {
	case methodNone:
		return data, nil
	case methodLZ4:
		plain := make([]byte, size)
		n, err := lz4.UncompressBlock(data, plain)
		return plain[:max(n, 0)], err
	case methodZSTD:
		return u.zstd.DecodeAll(data, nil)
	case methodMultiple:
		// The names of the codecs, and a block of the last one. What it unpacks to is packed by the one before, and so on; text is not packed so.
		if len(data) < 1 || len(data) < 1+int(data[0]) {
			return nil, errNoBlock
		}
		return u.block(data[1+int(data[0]):])
	case methodDelta:
		return data, nil // differences of numbers
	}
	return nil, errNoBlock
}
