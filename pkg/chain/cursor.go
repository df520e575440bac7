package chain

import (
	"encoding/binary"
	"fmt"
)

// FormatError says where an entry departs from the only form it may have. It quotes nothing of the entry.
type FormatError struct {
	Member string // of the JSON text, e.g. "src.next"
	At     int    // byte in the entry or body that was parsed
}

func (e *FormatError) Error() string { return fmt.Sprintf("malformed %s at byte %d", e.Member, e.At) }

// cursor reads the fixed parts of an entry from left to right. Each method advances only if what it expects is there.
type cursor struct {
	bytes []byte
	at    int
}

func (c *cursor) malformed(member string) error { return &FormatError{Member: member, At: c.at} }

func (c *cursor) done() bool { return c.at == len(c.bytes) }

func (c *cursor) literal(s string) bool {
	if rest := c.bytes[c.at:]; len(rest) < len(s) || string(rest[:len(s)]) != s {
		return false
	}
	c.at += len(s)
	return true
}

// take returns the next n bytes, or nil if there are fewer.
func (c *cursor) take(n int) []byte {
	if len(c.bytes)-c.at < n {
		return nil
	}
	c.at += n
	return c.bytes[c.at-n : c.at]
}

// number reads what strconv.AppendInt writes for 0 to 2^63-1.
func (c *cursor) number() (int64, bool) {
	i, n := c.at, uint64(0)
	for ; i < len(c.bytes) && c.bytes[i]-'0' <= 9; i++ {
		if n > (1<<63-1)/10 {
			return 0, false
		}
		n = n*10 + uint64(c.bytes[i]-'0')
	}
	digits := i - c.at
	if digits == 0 || n > 1<<63-1 || digits > 1 && c.bytes[c.at] == '0' {
		return 0, false
	}
	c.at = i
	return int64(n), true
}

// name reads up to the closing quote, which it leaves standing. It accepts the bytes of log names, which include those of topics and authors.
func (c *cursor) name() []byte {
	i := c.at
	for i < len(c.bytes) && (nameByte(c.bytes[i]) || c.bytes[i] == '/') {
		i++
	}
	name := c.bytes[c.at:i]
	c.at = i
	return name
}

// hash reads 64 lower-case hex digits.
func (c *cursor) hash(h *Hash) bool {
	if len(c.bytes)-c.at < 2*HashBytes || !unhex(h[:], c.bytes[c.at:]) {
		return false
	}
	c.at += 2 * HashBytes
	return true
}

// uuid reads the 36 characters of a UUID in lower case.
func (c *cursor) uuid(id *[16]byte) bool {
	if len(c.bytes)-c.at < uuidBytes || !parseUUID(id, c.bytes[c.at:c.at+uuidBytes]) {
		return false
	}
	c.at += uuidBytes
	return true
}

const uuidBytes = len("00000000-0000-0000-0000-000000000000")

func parseUUID(id *[16]byte, b []byte) bool {
	if len(b) < uuidBytes || b[8] != '-' || b[13] != '-' || b[18] != '-' || b[23] != '-' {
		return false
	}
	le := binary.LittleEndian
	return unhex8(id[0:4], le.Uint64(b)) && unhex8(id[4:8], uint64(le.Uint32(b[9:]))|uint64(le.Uint32(b[14:]))<<32) &&
		unhex8(id[8:12], uint64(le.Uint32(b[19:]))|uint64(le.Uint32(b[24:]))<<32) && unhex8(id[12:16], le.Uint64(b[28:]))
}

// unhex fills dst, a multiple of 4 bytes, from lower-case hex digits; encoding/hex would accept upper case too, a second form of the same entry.
func unhex(dst, digits []byte) bool {
	for i := 0; i < len(dst); i += 4 {
		if !unhex8(dst[i:], binary.LittleEndian.Uint64(digits[2*i:])) {
			return false
		}
	}
	return true
}

// unhex8 fills 4 bytes of dst from 8 digits, the first of which is the lowest byte of text. All 8 are worked on at once, each in its byte of a word: an
// entry has 128 of them, which one by one were a fifth of what it takes to parse it.
func unhex8(dst []byte, text uint64) bool {
	const ones = 0x0101010101010101
	letters := text >> 6 & ones                    // 1 where there can only be a letter
	values := text&(0x0f*ones) + 9*letters         // at most 24
	tens := (values + 6*ones) >> 4 & ones          // 1 where the value is 10 or more
	again := values + '0'*ones + ('a'-'0'-10)*tens // the digits of the values
	pairs := (values<<4 | values>>8) & 0x00ff00ff00ff00ff
	pairs = (pairs | pairs>>8) & 0x0000ffff0000ffff
	binary.LittleEndian.PutUint32(dst, uint32(pairs|pairs>>16))
	return again == text && values&(0xf0*ones) == 0
}
