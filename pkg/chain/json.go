package chain

import (
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// maxJSONDepth bounds recursion over a record that an entry holds. The parser of events is stricter; this keeps a forged entry from using up the stack.
const maxJSONDepth = 512

var (
	errJSON         = errors.New("not a JSON object")
	errJSONRepeated = errors.New("a key of a JSON object is repeated")
)

// scanObject checks that b is exactly one JSON object (RFC 8259) in valid UTF-8 without a repeated key at any level, and calls member, if it is not
// nil, for each of the object's own members. encoding/json accepts invalid UTF-8 and repeated keys, and two readers of one entry could then see two
// different events.
func scanObject(b []byte, member func(key string, value []byte)) error {
	s := scanner{bytes: b}
	if len(b) == 0 || b[0] != '{' {
		return errJSON
	}
	if err := s.object(0, member); err != nil {
		return err
	}
	if s.at != len(b) {
		return errJSON
	}
	return nil
}

type scanner struct {
	bytes []byte
	at    int
}

// peek skips white space and returns the byte that follows, 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.bytes) {
		switch c := s.bytes[s.at]; c {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) eat(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

func (s *scanner) value(depth int) error {
	if depth > maxJSONDepth {
		return errJSON
	}
	switch c := s.peek(); c {
	case '{':
		return s.object(depth, nil)
	case '[':
		return s.array(depth)
	case '"':
		_, err := s.string()
		return err
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

func (s *scanner) object(depth int, member func(key string, value []byte)) error {
	s.at++
	if s.eat('}') {
		return nil
	}
	seen := make(map[string]struct{}, 8)
	for {
		if s.peek() != '"' {
			return errJSON
		}
		quoted, err := s.string()
		if err != nil {
			return err
		}
		key, err := unquote(quoted)
		if err != nil {
			return err
		}
		if _, repeated := seen[key]; repeated {
			return errJSONRepeated
		}
		seen[key] = struct{}{}
		if !s.eat(':') {
			return errJSON
		}
		s.peek()
		start := s.at
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if member != nil {
			member(key, s.bytes[start:s.at])
		}
		if s.eat('}') {
			return nil
		}
		if !s.eat(',') {
			return errJSON
		}
	}
}

func (s *scanner) array(depth int) error {
	s.at++
	if s.eat(']') {
		return nil
	}
	for {
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if s.eat(']') {
			return nil
		}
		if !s.eat(',') {
			return errJSON
		}
	}
}

// string reads a string and returns it with its quotes.
func (s *scanner) string() ([]byte, error) {
	start := s.at
	for s.at++; s.at < len(s.bytes); s.at++ {
		switch c := s.bytes[s.at]; {
		case c == '"':
			s.at++
			quoted := s.bytes[start:s.at]
			if !utf8.Valid(quoted) {
				return nil, errJSON
			}
			return quoted, nil
		case c < ' ':
			return nil, errJSON
		case c == '\\':
			if !s.escape() {
				return nil, errJSON
			}
		}
	}
	return nil, errJSON
}

// escape checks the escape that begins at s.at and moves to its last byte.
func (s *scanner) escape() bool {
	s.at++
	if s.at >= len(s.bytes) {
		return false
	}
	switch s.bytes[s.at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			s.at++
			if s.at >= len(s.bytes) || !hexDigit(s.bytes[s.at]) {
				return false
			}
		}
		return true
	}
	return false
}

func hexDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func (s *scanner) word(w string) error {
	if len(s.bytes)-s.at < len(w) || string(s.bytes[s.at:s.at+len(w)]) != w {
		return errJSON
	}
	s.at += len(w)
	return nil
}

func (s *scanner) number() error {
	s.one('-')
	if !s.one('0') && s.run() == 0 {
		return errJSON
	}
	if s.one('.') && s.run() == 0 {
		return errJSON
	}
	if s.one('e') || s.one('E') {
		if !s.one('+') {
			s.one('-')
		}
		if s.run() == 0 {
			return errJSON
		}
	}
	return nil
}

func (s *scanner) one(c byte) bool {
	if s.at < len(s.bytes) && s.bytes[s.at] == c {
		s.at++
		return true
	}
	return false
}

// run skips digits and returns how many there were.
func (s *scanner) run() int {
	start := s.at
	for s.at < len(s.bytes) && s.bytes[s.at]-'0' <= 9 {
		s.at++
	}
	return s.at - start
}

// unquote returns what a JSON string with its quotes says.
func unquote(quoted []byte) (string, error) {
	inside := quoted[1 : len(quoted)-1]
	for _, c := range inside {
		if c == '\\' {
			var s string
			if err := json.Unmarshal(quoted, &s); err != nil {
				return "", errJSON
			}
			return s, nil
		}
	}
	return string(inside), nil
}
