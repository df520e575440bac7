package chain

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// Every pair of bytes is two digits, or is none, at every place of those that are read at once.
func TestUnhexReadsDigitsOnly(t *testing.T) {
	text := []byte("0123456789abcdef")
	for at := 0; at < len(text); at += 2 {
		for pair := range 1 << 16 {
			digits := bytes.Clone(text)
			digits[at], digits[at+1] = byte(pair>>8), byte(pair)
			want, err := hex.DecodeString(string(digits))
			good := err == nil && bytes.Equal(bytes.ToLower(digits), digits)
			got := make([]byte, 8)
			if unhex(got, digits) != good || good && !bytes.Equal(got, want) {
				t.Fatalf("%q is read as %x, want %x, %v", digits, got, want, good)
			}
		}
	}
}

// Every byte at every place of a time that is no digit there is refused.
func TestTimesReadDigitsOnly(t *testing.T) {
	const micros, millis = "2026-11-20T21:14:05.123456Z", "2026-11-20T21:14:05.123Z"
	for _, text := range []string{micros, millis} {
		for at := range text {
			for c := range 256 {
				changed := []byte(text)
				changed[at] = byte(c)
				parse, write := parseMicros, appendMicros
				if text == millis {
					parse, write = parseMillis, appendMillis
				}
				if n, ok := parse(changed); ok && !bytes.Equal(write(nil, n), changed) {
					t.Fatalf("%q is taken for %q", changed, write(nil, n))
				}
			}
		}
	}
}
