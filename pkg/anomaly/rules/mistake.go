package rules

import (
	"fmt"
	"strings"
	"unicode"
)

// Mistake is one thing that is wrong with a rules file.
type Mistake struct {
	File   string
	Line   int    // from 1; 0: the file as a whole
	Rule   string // id; "": it is about none
	Reason string
}

// String is one line: file:line: rule id: reason.
func (m Mistake) String() string {
	place := m.File
	if m.Line > 0 {
		place = fmt.Sprintf("%s:%d", m.File, m.Line)
	}
	if m.Rule != "" {
		place += ": rule " + m.Rule
	}
	return place + ": " + m.Reason
}

// Mistakes is the error of Parse and Load: all that is wrong with a file, in the order of its lines.
type Mistakes []Mistake

// Error has a line for each mistake.
func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i, mistake := range m {
		lines[i] = mistake.String()
	}
	return strings.Join(lines, "\n")
}

// quoted shows a short piece of the file in a reason, on one line and without what could move a terminal's cursor.
func quoted(text string) string {
	const most = 60
	short := []rune(strings.ToValidUTF8(text, "\uFFFD"))
	cut := len(short) > most
	if cut {
		short = short[:most]
	}
	for i, r := range short {
		if !unicode.IsPrint(r) {
			short[i] = '\uFFFD'
		}
	}
	if cut {
		return `"` + string(short) + `…"`
	}
	return `"` + string(short) + `"`
}
