package chain

import (
	"bytes"
	"unicode/utf8"
)

// appendText appends s as a JSON string in the one form that text in an entry has: `\"`, `\\` and \u00xx (lower case) for control characters, all
// else as it is. Invalid UTF-8 becomes U+FFFD, so that an entry is always JSON.
func appendText(dst []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// text reads what appendText writes.
func (c *cursor) text() (string, bool) {
	s := scanner{bytes: c.bytes, at: c.at}
	if s.peek() != '"' || s.at != c.at {
		return "", false
	}
	quoted, err := s.string()
	if err != nil {
		return "", false
	}
	text, err := unquote(quoted)
	if err != nil || !bytes.Equal(appendText(make([]byte, 0, len(quoted)), text), quoted) {
		return "", false
	}
	c.at = s.at
	return text, true
}
