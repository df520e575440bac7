package events

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"
)

// UUID is an event id (RFC 9562). The zero UUID stands for none.
type UUID [16]byte

// NewUUID returns a version 7 UUID: now in milliseconds, then 74 random bits. Safe for
// concurrent use.
func NewUUID(now time.Time) UUID {
	var random [10]byte
	rand.Read(random[:]) // never fails: crypto/rand ends the process instead
	return UUIDv7(now, random)
}

// UUIDv7 returns the version 7 UUID of a time and given random bytes, for generators that must
// be reproducible. Six bits of random give way to version and variant.
func UUIDv7(now time.Time, random [10]byte) UUID {
	var u UUID
	binary.BigEndian.PutUint64(u[:8], uint64(now.UnixMilli())<<16)
	copy(u[6:], random[:])
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	return u
}

// HashedUUID returns the UUID of version 8 (RFC 9562, 5.8) that is made of the first bytes of the SHA-256 of some data: the same for the same data, whoever makes
// it. Data of different kinds must begin differently.
func HashedUUID(data []byte) UUID {
	sum := sha256.Sum256(data)
	u := UUID(sum[:16])
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return u
}

// String returns the 36 character form in lower case.
func (u UUID) String() string {
	var text [36]byte
	return string(u.AppendTo(text[:0]))
}

// AppendTo appends the 36 character form in lower case.
func (u UUID) AppendTo(dst []byte) []byte {
	const digits = "0123456789abcdef"
	for i, b := range u {
		switch i {
		case 4, 6, 8, 10:
			dst = append(dst, '-')
		}
		dst = append(dst, digits[b>>4], digits[b&15])
	}
	return dst
}

// MarshalText returns the 36 character form.
func (u UUID) MarshalText() ([]byte, error) { return u.AppendTo(nil), nil }

// UnmarshalText reads the 36 character form.
func (u *UUID) UnmarshalText(text []byte) error {
	parsed, ok := ParseUUID(text)
	if !ok {
		return errors.New("event id " + reasonUUID)
	}
	*u = parsed
	return nil
}

// ParseUUID reads the 36 character form (8-4-4-4-12 hexadecimal digits of either case), of any
// version. It does not allocate.
func ParseUUID(text []byte) (u UUID, ok bool) {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return UUID{}, false
	}
	var bad byte // high nibble set as soon as one digit is none
	for i, at := range uuidDigits {
		high, low := hexValues[text[at]], hexValues[text[at+1]]
		bad |= high | low
		u[i] = high<<4 | low
	}
	return u, bad < 16
}

// uuidDigits are the places of each byte's first digit in the 36 character form.
var uuidDigits = [16]uint8{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

// hexValues maps a digit's byte to its value, anything else to 0xff.
var hexValues = hexTable()

func hexTable() (table [256]byte) {
	for i := range table {
		table[i] = 0xff
	}
	for i, c := range "0123456789" {
		table[c] = byte(i)
	}
	for i, c := range "abcdef" {
		table[c] = byte(10 + i)
		table[c-'a'+'A'] = byte(10 + i)
	}
	return table
}
