package clickhttp

import (
	"bytes"
	"strings"
)

// tokenKind is as coarse as this package needs.
type tokenKind uint8

const (
	tokenEnd    tokenKind = iota
	tokenWord             // keyword, name or number
	tokenQuoted           // name in back or double quotes
	tokenString           // 'text' or $tag$text$tag$
	tokenMark             // one byte of punctuation
	tokenBroken           // a quote or comment that does not end
)

type token struct {
	kind       tokenKind
	start, end int
}

// lexer cuts a statement as ClickHouse's own lexer does, as far as it matters for finding where a
// statement ends and data begins: quotes, comments, brackets, words.
type lexer struct {
	text []byte
	pos  int
}

func (l *lexer) next() token {
	for l.skipSpace() || l.skipComment() {
	}
	start := l.pos
	if start >= len(l.text) {
		return token{tokenEnd, start, start}
	}
	b := l.text[start]
	switch {
	case isWordByte(b):
		for l.pos < len(l.text) && isWordByte(l.text[l.pos]) {
			l.pos++
		}
		return token{tokenWord, start, l.pos}
	case b == '\'':
		return l.quoted(tokenString, "'")
	case b == '"', b == '`':
		return l.quoted(tokenQuoted, string(b))
	case b == '$':
		return l.heredoc()
	case l.has("\u2018"):
		return l.until(tokenString, "\u2019")
	case l.has("\u201c"):
		return l.until(tokenQuoted, "\u201d")
	}
	l.pos++
	return token{tokenMark, start, l.pos}
}

func (l *lexer) has(prefix string) bool {
	return bytes.HasPrefix(l.text[l.pos:], []byte(prefix))
}

func (l *lexer) skipSpace() bool {
	from := l.pos
	for l.pos < len(l.text) {
		switch l.text[l.pos] {
		case ' ', '\t', '\n', '\r', '\f', '\v':
			l.pos++
			continue
		}
		break
	}
	return l.pos > from
}

func (l *lexer) skipComment() bool {
	switch {
	case l.has("--"), l.has("#!"), l.has("# "):
		end := bytes.IndexByte(l.text[l.pos:], '\n')
		if end < 0 {
			l.pos = len(l.text)
		} else {
			l.pos += end
		}
		return true
	case l.has("/*"):
		return l.skipBlockComment()
	}
	return false
}

// skipBlockComment: block comments nest.
func (l *lexer) skipBlockComment() bool {
	depth, i := 0, l.pos
	for i < len(l.text) {
		rest := l.text[i:]
		switch {
		case bytes.HasPrefix(rest, []byte("/*")):
			depth++
			i += 2
		case bytes.HasPrefix(rest, []byte("*/")):
			depth--
			i += 2
			if depth == 0 {
				l.pos = i
				return true
			}
		default:
			i++
		}
	}
	return false // it does not end: left as a mark, for the engine to complain about
}

func (l *lexer) quoted(kind tokenKind, quote string) token {
	start := l.pos
	for i := start + 1; i < len(l.text); i++ {
		switch l.text[i] {
		case '\\':
			i++
		case quote[0]:
			if i+1 < len(l.text) && l.text[i+1] == quote[0] {
				i++
				continue
			}
			l.pos = i + 1
			return token{kind, start, l.pos}
		}
	}
	l.pos = len(l.text)
	return token{tokenBroken, start, l.pos}
}

func (l *lexer) until(kind tokenKind, closing string) token {
	start := l.pos
	i := bytes.Index(l.text[start:], []byte(closing))
	if i < 0 {
		l.pos = len(l.text)
		return token{tokenBroken, start, l.pos}
	}
	l.pos = start + i + len(closing)
	return token{kind, start, l.pos}
}

// heredoc is $tag$…$tag$; a dollar that opens none is punctuation.
func (l *lexer) heredoc() token {
	start := l.pos
	i := start + 1
	for i < len(l.text) && isWordByte(l.text[i]) {
		i++
	}
	if i < len(l.text) && l.text[i] == '$' {
		tag := l.text[start : i+1]
		if end := bytes.Index(l.text[i+1:], tag); end >= 0 {
			l.pos = i + 1 + end + len(tag)
			return token{tokenString, start, l.pos}
		}
	}
	l.pos++
	return token{tokenMark, start, l.pos}
}

func isWordByte(b byte) bool {
	return b == '_' || b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z'
}

// is compares a word without regard to case.
func (l *lexer) is(t token, word string) bool {
	return t.kind == tokenWord && strings.EqualFold(string(l.text[t.start:t.end]), word)
}

func (l *lexer) mark(t token, b byte) bool {
	return t.kind == tokenMark && l.text[t.start] == b
}

func (l *lexer) word(t token) string { return string(l.text[t.start:t.end]) }
