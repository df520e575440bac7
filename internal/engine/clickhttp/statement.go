package clickhttp

import "strings"

// statement is what the front must know of a text before the engine sees it.
type statement struct {
	keyword string // first word, in capitals; "(" for a bracketed SELECT
	// format is that of the FORMAT clause, "" without one.
	format string
	// An INSERT whose data follows: the text up to FORMAT or VALUES, and where the data begins.
	hasData   bool
	head      string
	dataStart int
	// implicit: neither FORMAT nor VALUES was there; a SELECT may follow in the body.
	implicit bool
	// unclear is an INSERT of which this package cannot tell whether it carries data. It must not
	// reach the engine as text.
	unclear bool
	// outfile: INTO OUTFILE or FROM INFILE, which would touch files of this machine.
	outfile bool
	// totals: WITH TOTALS, whose rows come in a second block.
	totals bool
	// setsDialect: another query language would not be understood by this package.
	setsDialect bool
}

// readStatement looks at the beginning of a text. It never fails: what it does not understand is
// for the engine to refuse.
func readStatement(text []byte) statement {
	l := &lexer{text: text}
	first := l.next()
	st := statement{}
	switch first.kind {
	case tokenWord:
		st.keyword = strings.ToUpper(l.word(first))
	case tokenMark:
		st.keyword = l.word(first)
	}
	if st.keyword == "INSERT" {
		st.unclear = true
		readInsert(l, &st)
		return st
	}
	readOther(l, first, &st)
	return st
}

// readOther scans a statement without data for its FORMAT clause and for what is refused.
func readOther(l *lexer, first token, st *statement) {
	depth := depthChange(l, first)
	before := first
	for t := l.next(); t.kind != tokenEnd; t = l.next() {
		depth += depthChange(l, t)
		switch {
		case st.keyword == "INSERT" && l.mark(t, '(') && l.is(before, "input"):
			st.unclear = true // INSERT … SELECT … FROM input(…): its data would follow
			return
		case l.is(t, "OUTFILE") && l.is(before, "INTO"), l.is(t, "INFILE") && l.is(before, "FROM"):
			st.outfile = true
		case l.is(t, "TOTALS") && l.is(before, "WITH"):
			st.totals = true
		case st.keyword == "SET" && strings.EqualFold(strings.Trim(l.word(t), "`\""), "dialect"):
			st.setsDialect = true
		case depth == 0 && t.kind == tokenWord && l.is(before, "FORMAT") && formatEnds(l):
			st.format = l.word(t)
		}
		before = t
	}
}

// formatEnds tells whether a FORMAT clause may end here, so that a column named format is none.
func formatEnds(l *lexer) bool {
	at := l.pos
	defer func() { l.pos = at }()
	t := l.next()
	return t.kind == tokenEnd || l.mark(t, ';') || l.is(t, "SETTINGS")
}

func depthChange(l *lexer, t token) int {
	if t.kind != tokenMark {
		return 0
	}
	switch l.text[t.start] {
	case '(', '[', '{':
		return 1
	case ')', ']', '}':
		return -1
	}
	return 0
}

// readInsert finds where the data of an INSERT begins. The lexer stands behind INSERT.
func readInsert(l *lexer, st *statement) {
	t := l.next()
	if l.is(t, "INTO") {
		t = l.next()
	}
	if l.is(t, "TABLE") || l.is(t, "FUNCTION") {
		t = l.next()
	}
	// t is the first part of the name: what follows is told by keywords at depth 0.
	depth := depthChange(l, t)
	before := t
	for t = l.next(); t.kind != tokenEnd && t.kind != tokenBroken; t = l.next() {
		depth += depthChange(l, t)
		if depth == 0 && t.kind == tokenWord && !l.mark(before, '.') {
			switch {
			case l.is(t, "VALUES"):
				st.data("Values", l.text[:t.start], t.end)
				return
			case l.is(t, "FORMAT"):
				if name := l.next(); name.kind == tokenWord {
					st.data(l.word(name), l.text[:t.start], dataAfter(l.text, name.end))
				}
				return
			case l.is(t, "INFILE") && l.is(before, "FROM"):
				st.outfile = true
				return
			case l.is(t, "SELECT"), l.is(t, "WITH"):
				st.unclear = false
				readOther(l, t, st)
				return
			}
		}
		if depth == 1 && l.mark(before, '(') && (l.is(t, "SELECT") || l.is(t, "WITH")) {
			st.unclear = false
			readOther(l, t, st)
			return
		}
		before = t
	}
	if t.kind == tokenEnd {
		st.data("Values", l.text, len(l.text)) // the data is in the body, or missing
		st.implicit = true
	}
}

func (st *statement) data(format string, head []byte, start int) {
	st.unclear, st.hasData, st.format, st.head, st.dataStart = false, true, format, strings.TrimRight(string(head), " \t\r\n;"), start
}

// dataAfter skips what ClickHouse skips behind the name of a format: blanks and one line end, or
// a semicolon.
func dataAfter(text []byte, pos int) int {
	at := func(b ...byte) bool {
		if pos >= len(text) {
			return false
		}
		for _, x := range b {
			if text[pos] == x {
				return true
			}
		}
		return false
	}
	for at(' ', '\t', '\f') {
		pos++
	}
	if at(';') {
		pos++
		for at(' ', '\t', '\f') {
			pos++
		}
	}
	if at('\r') {
		pos++
	}
	if at('\n') {
		pos++
	}
	return pos
}
