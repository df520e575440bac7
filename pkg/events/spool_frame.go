package events

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A spool segment is a header followed by frames. All integers are big-endian.
//
//	header  "agentaudit/spool" ‖ uint32 version ‖ salt (32) ‖ key check (16) ‖ CRC-32C of what precedes
//	frame   uint32 n ‖ uint32 CRC-32C of (n ‖ time ‖ ciphertext) ‖ int64 time, Unix ms ‖ ciphertext (n bytes)
//
// The ciphertext is AES-256-GCM of (uvarint key length ‖ key ‖ value) with the
// time as associated data, under a key made from the caller's key and the
// segment's own salt. The nonce is the frame's place in its segment, which no
// two frames share: a segment is never appended to after a failed write or by
// another process than the one that made it.
const (
	segmentMagic   = "agentaudit/spool"
	segmentVersion = 1
	segmentSalt    = 32
	segmentCheck   = 16
	segmentHeader  = len(segmentMagic) + 4 + segmentSalt + segmentCheck + 4

	frameHeader = 4 + 4 + 8
	gcmTag      = 16
	// maxFrameCipher bounds what a damaged length can make the reader allocate:
	// the largest record, its key and the tag fit well below it.
	maxFrameCipher = 4 << 20
)

var (
	// errFrameShort: the bytes end before the frame does.
	errFrameShort = errors.New("frame ends early")
	// errFrameBad: length, checksum or authentication is wrong.
	errFrameBad = errors.New("frame is damaged")
	// errSegmentKey: the segment was written under none of the given keys.
	errSegmentKey = errors.New("segment was written under another key")
	// errSegmentVersion: the segment was written by another version of this code.
	errSegmentVersion = errors.New("segment has another version")
	// errSegmentHeader: not the beginning of a segment.
	errSegmentHeader = errors.New("segment header is damaged")
)

// spoolRecord is one event as it waits: its Kafka key, its value, and when it
// was accepted.
type spoolRecord struct {
	timeMillis int64 // on the steady time line of the process that accepted it, see ageWatch.stamp
	key, value []byte

	// inherited is set for a record of an earlier process, whose time line means
	// nothing here: it was accepted at wallMillis by the file system's clock.
	inherited  bool
	wallMillis int64
}

// frameBytes is the size of r on disk.
func (r *spoolRecord) frameBytes() int {
	return frameHeader + gcmTag + uvarintLen(uint64(len(r.key))) + len(r.key) + len(r.value)
}

func uvarintLen(x uint64) int {
	n := 1
	for ; x >= 0x80; x >>= 7 {
		n++
	}
	return n
}

// frameCipher seals and opens the frames of one segment. Not safe for
// concurrent use.
type frameCipher struct {
	aead  cipher.AEAD
	plain []byte // reused
}

// newSegmentHeader makes the header of a new segment with a fresh salt.
func newSegmentHeader(key []byte) ([]byte, *frameCipher, error) {
	h := make([]byte, 0, segmentHeader)
	h = append(h, segmentMagic...)
	h = binary.BigEndian.AppendUint32(h, segmentVersion)
	salt := make([]byte, segmentSalt)
	rand.Read(salt) // never fails: crypto/rand ends the process instead
	h = append(h, salt...)
	h = append(h, spoolMAC(key, "agentaudit/spool/v1/check", salt)[:segmentCheck]...)
	h = binary.BigEndian.AppendUint32(h, crc32.Checksum(h, castagnoli()))
	c, err := newFrameCipher(key, salt)
	return h, c, err
}

// openSegmentHeader checks a header and finds the key it was written under.
func openSegmentHeader(h []byte, keys [][]byte) (*frameCipher, error) {
	if len(h) < segmentHeader {
		return nil, errFrameShort
	}
	h = h[:segmentHeader]
	body, sum := h[:segmentHeader-4], binary.BigEndian.Uint32(h[segmentHeader-4:])
	if crc32.Checksum(body, castagnoli()) != sum || string(body[:len(segmentMagic)]) != segmentMagic {
		return nil, errSegmentHeader
	}
	rest := body[len(segmentMagic):]
	if v := binary.BigEndian.Uint32(rest); v != segmentVersion {
		return nil, fmt.Errorf("%w: %d, this program knows %d", errSegmentVersion, v, segmentVersion)
	}
	salt, check := rest[4:4+segmentSalt], rest[4+segmentSalt:]
	for _, key := range keys {
		want := spoolMAC(key, "agentaudit/spool/v1/check", salt)
		if subtle.ConstantTimeCompare(want[:segmentCheck], check) == 1 {
			return newFrameCipher(key, salt)
		}
	}
	return nil, errSegmentKey
}

func newFrameCipher(key, salt []byte) (*frameCipher, error) {
	block, err := aes.NewCipher(spoolMAC(key, "agentaudit/spool/v1/segment", salt))
	if err != nil {
		return nil, fmt.Errorf("make the key of a spool segment: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make the cipher of a spool segment: %w", err)
	}
	return &frameCipher{aead: aead}, nil
}

// spoolMAC separates the uses of one key by a label (HMAC-SHA256 as a one-step
// key derivation, NIST SP 800-56C).
func spoolMAC(key []byte, label string, salt []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(label))
	m.Write([]byte{0})
	m.Write(salt)
	return m.Sum(nil)
}

// appendFrame appends r as the frame at place index of its segment.
func (c *frameCipher) appendFrame(dst []byte, index uint64, r *spoolRecord) []byte {
	c.plain = binary.AppendUvarint(c.plain[:0], uint64(len(r.key)))
	c.plain = append(c.plain, r.key...)
	c.plain = append(c.plain, r.value...)

	start := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(c.plain)+gcmTag))
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.timeMillis))
	nonce := frameNonce(index)
	dst = c.aead.Seal(dst, nonce[:], c.plain, dst[start+8:start+frameHeader])
	binary.BigEndian.PutUint32(dst[start+4:], frameSum(dst[start:]))
	return dst
}

// openFrame authenticates and decrypts the frame that checkFrame found. The
// record has memory of its own.
func (c *frameCipher) openFrame(frame []byte, index uint64) (spoolRecord, error) {
	nonce := frameNonce(index)
	plain, err := c.aead.Open(nil, nonce[:], frame[frameHeader:], frame[8:frameHeader])
	if err != nil {
		return spoolRecord{}, errFrameBad
	}
	keyLen, n := binary.Uvarint(plain)
	if n <= 0 || keyLen > uint64(len(plain)-n) {
		return spoolRecord{}, errFrameBad
	}
	end := n + int(keyLen)
	return spoolRecord{timeMillis: frameTime(frame), key: plain[n:end:end], value: plain[end:]}, nil
}

// opens says whether frame was made for the place index.
func (c *frameCipher) opens(frame []byte, index uint64) bool {
	nonce := frameNonce(index)
	plain, err := c.aead.Open(c.plain[:0], nonce[:], frame[frameHeader:], frame[8:frameHeader])
	if err == nil {
		c.plain = plain
	}
	return err == nil
}

// checkFrame returns the length of the whole frame at the beginning of b:
// errFrameShort if b ends inside of it, errFrameBad if its length or checksum
// is wrong. It needs no key.
func checkFrame(b []byte) (int, error) {
	if len(b) < frameHeader {
		return 0, errFrameShort
	}
	n := binary.BigEndian.Uint32(b)
	// A tail of zeros, as a file system may leave it after a power loss, has
	// length zero and ends here.
	if n < gcmTag+1 || n > maxFrameCipher {
		return 0, errFrameBad
	}
	size := frameHeader + int(n)
	if len(b) < size {
		return size, errFrameShort
	}
	if frameSum(b[:size]) != binary.BigEndian.Uint32(b[4:]) {
		return 0, errFrameBad
	}
	return size, nil
}

func frameTime(frame []byte) int64 { return int64(binary.BigEndian.Uint64(frame[8:])) }

func frameSum(frame []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame[:4], castagnoli()), castagnoli(), frame[8:])
}

func frameNonce(index uint64) (nonce [12]byte) {
	binary.BigEndian.PutUint64(nonce[4:], index)
	return nonce
}

// castagnoli is CRC-32C, which processors compute; MakeTable returns one shared
// table.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }
