package chain

import "fmt"

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
	return b[8] == '-' && b[13] == '-' && b[18] == '-' && b[23] == '-' &&
		unhex(id[0:4], b) && unhex(id[4:6], b[9:]) && unhex(id[6:8], b[14:]) && unhex(id[8:10], b[19:]) && unhex(id[10:16], b[24:])
}

// unhex fills dst from lower-case hex digits; encoding/hex would accept upper case too, a second form of the same entry.
func unhex(dst, digits []byte) bool {
	digits = digits[:2*len(dst)]
	bad := byte(0)
	for i := range dst {
		high, low := nibbles[digits[2*i]], nibbles[digits[2*i+1]]
		dst[i] = high<<4 | low&0x0f
		bad |= high | low
	}
	return bad&0xf0 == 0
}

// nibbles holds the value of each lower-case hex digit and 0xff for every other byte.
var nibbles = func() (table [256]byte) {
	for i := range table {
		table[i] = 0xff
	}
	for value, digit := range []byte("0123456789abcdef") {
		table[digit] = byte(value)
	}
	return table
}()
