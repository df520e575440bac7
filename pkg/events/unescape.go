package events

import (
	"bytes"
	"unicode/utf8"
)

// AppendUnescaped appends the value of a JSON string's inside, as Event.Raw returns it. raw must
// have passed the parser.
func AppendUnescaped(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		r, size := unescapeRune(raw[i:])
		dst = utf8.AppendRune(dst, r)
		raw = raw[i+size:]
	}
}

// unescapedEqual tells whether value is the value of a JSON string's inside, without making it.
func unescapedEqual(raw, value []byte) bool {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return bytes.Equal(raw, value)
		}
		r, size := unescapeRune(raw[i:])
		var encoded [utf8.UTFMax]byte
		n := utf8.EncodeRune(encoded[:], r)
		if len(value) < i+n || !bytes.Equal(raw[:i], value[:i]) || !bytes.Equal(encoded[:n], value[i:i+n]) {
			return false
		}
		raw, value = raw[i+size:], value[i+n:]
	}
}

// unescapeRune decodes the escape at the start of s, which has passed the parser, and returns
// how many bytes it takes.
func unescapeRune(s []byte) (r rune, size int) {
	switch c := s[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r, _ = hex4(s[2:])
		if r < surrogateMin || r > surrogateMax {
			return r, 6
		}
		low, _ := hex4(s[8:])
		return (r-surrogateMin)<<10 + (low - surrogateLow) + 0x10000, 12
	default: // '"', '\\', '/'
		return rune(c), 2
	}
}

// Surrogates of UTF-16: a high one from surrogateMin, then a low one from surrogateLow.
const (
	surrogateMin = 0xD800
	surrogateLow = 0xDC00
	surrogateMax = 0xDFFF
)

// hex4 decodes four hexadecimal digits at the start of s.
func hex4(s []byte) (r rune, ok bool) {
	if len(s) < 4 {
		return 0, false
	}
	a, b, c, d := hexValues[s[0]], hexValues[s[1]], hexValues[s[2]], hexValues[s[3]]
	return rune(a)<<12 | rune(b)<<8 | rune(c)<<4 | rune(d), a|b|c|d < 16
}
