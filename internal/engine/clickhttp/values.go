package clickhttp

// valuesScanner finds out whether the data of INSERT … VALUES is followed by a semicolon and then
// by anything else. The engine would leave that out without a word.
type valuesScanner struct {
	state    valuesState
	quote    byte // of the string that the scanner is in
	previous byte // for two-byte marks, also over the end of a piece
	ended    bool // a semicolon was seen
	more     bool // and something behind it
}

type valuesState uint8

const (
	inValues valuesState = iota
	inString
	inEscape
	inLineComment
	inBlockComment
)

// scan looks at the next piece and says whether to go on.
func (v *valuesScanner) scan(piece []byte) bool {
	for _, b := range piece {
		v.step(b)
		if v.more {
			return false
		}
	}
	return true
}

func (v *valuesScanner) step(b byte) {
	previous := v.previous
	v.previous = b
	switch v.state {
	case inString:
		switch b {
		case '\\':
			v.state = inEscape
		case v.quote: // a doubled quote ends one string and begins the next
			v.state = inValues
		}
	case inEscape:
		v.state = inString
	case inLineComment:
		if b == '\n' {
			v.state = inValues
		}
	case inBlockComment:
		if previous == '*' && b == '/' {
			v.state, v.previous = inValues, 0
		}
	case inValues:
		v.value(previous, b)
	}
}

func (v *valuesScanner) value(previous, b byte) {
	switch {
	case b == '\'' || b == '"' || b == '`':
		v.state, v.quote = inString, b
	case previous == '-' && b == '-':
		v.state = inLineComment
		return
	case previous == '/' && b == '*':
		v.state, v.previous = inBlockComment, 0
		return
	case b == ';':
		v.ended = true
		return
	case b == ' ', b == '\t', b == '\n', b == '\r', b == '\f', b == '\v', b == '-', b == '/':
		return // the marks that begin comments are told by what follows them
	}
	if v.ended {
		v.more = true
	}
}
