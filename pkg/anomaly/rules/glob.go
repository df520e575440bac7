package rules

import (
	"bytes"
	"strings"
)

// glob is a pattern with * and ?. Most have their stars at the ends, and are then looked for as they are.
type glob struct {
	kind    globKind
	pattern string
	literal []byte // without the stars at the ends
}

type globKind uint8

const (
	globAny globKind = iota
	globPrefix
	globSuffix
	globWithin
)

func newGlob(pattern string) glob {
	inner := strings.Trim(pattern, "*")
	g := glob{pattern: pattern, literal: []byte(inner)}
	open, end := strings.HasPrefix(pattern, "*"), strings.HasSuffix(pattern, "*")
	switch {
	case inner == "" || isGlob(inner):
	case open && end:
		g.kind = globWithin
	case end:
		g.kind = globPrefix
	case open:
		g.kind = globSuffix
	}
	return g
}

// matches tells whether the pattern fits the whole text.
func (g *glob) matches(text []byte) bool {
	switch g.kind {
	case globPrefix:
		return bytes.HasPrefix(text, g.literal)
	case globSuffix:
		return bytes.HasSuffix(text, g.literal)
	case globWithin:
		return bytes.Contains(text, g.literal)
	}
	return globMatches(g.pattern, text)
}

func isGlob(text string) bool { return strings.ContainsAny(text, "*?") }

// globMatches tells whether a pattern fits the whole text: * stands for any bytes, also none, ? for one character. It takes at most len(pattern)·len(text)
// steps: of several stars only the last is ever tried again.
func globMatches(pattern string, text []byte) bool {
	p, t := 0, 0
	star, mark := -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && pattern[p] == '?':
			p++
			t = afterRune(text, t)
		case p < len(pattern) && pattern[p] == text[t]:
			p++
			t++
		case star >= 0:
			mark = afterRune(text, mark)
			p, t = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// afterRune returns where the next character begins.
func afterRune(text []byte, at int) int {
	at++
	for at < len(text) && text[at]&0xC0 == 0x80 {
		at++
	}
	return at
}
