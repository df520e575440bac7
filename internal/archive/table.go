package archive

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/agentaudit/agentaudit/internal/reveal"
)

// columns of events.csv, which are the members of a line of events.jsonl.
var columns = []string{
	"log", "seq", "event_id", "time", "type", "action", "outcome", "tenant", "user", "subject", "data_subjects", "findings", "threat", "event", "content_state", "content",
}

func appendHeader(dst []byte) []byte {
	for i, name := range columns {
		dst = appendCell(dst, i, name)
	}
	return append(dst, "\r\n"...)
}

// appendRow appends an event as a row of events.csv (RFC 4180, each cell quoted).
func appendRow(dst []byte, e *reveal.Event) ([]byte, error) {
	public, err := inCell(e.Public)
	if err != nil {
		return dst, err
	}
	content, err := inCell(e.Content)
	if err != nil {
		return dst, err
	}
	for i, cell := range [...]string{
		e.Log, strconv.FormatUint(e.Seq, 10), e.EventID, e.Time, e.Type, e.Action, e.Outcome, e.Tenant, e.User, e.Subject,
		strings.Join(e.DataSubjects, " "), strings.Join(e.Findings, " "), e.Threat, public, e.ContentState, content,
	} {
		// JSON is no formula, and nothing in it can become the beginning of another cell.
		if isJSON := columns[i] == "event" || columns[i] == "content"; !isJSON || !strings.HasPrefix(cell, "{") {
			cell = harmless(cell)
		}
		dst = appendCell(dst, i, cell)
	}
	return append(dst, "\r\n"...), nil
}

func appendCell(dst []byte, i int, cell string) []byte {
	if i > 0 {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	for j := range len(cell) {
		if cell[j] == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, cell[j])
	}
	return append(dst, '"')
}

// inCell makes JSON fit for a cell: on one line, and without semicolons, at which spreadsheets of many countries part cells whatever the quotes are. It is the same
// JSON: a semicolon stands in strings only, where it may be escaped.
func inCell(text json.RawMessage) (string, error) {
	if len(text) == 0 {
		return "", nil
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return "", err
	}
	return strings.ReplaceAll(line.String(), ";", `\u003b`), nil
}

// harmless keeps a spreadsheet from running a cell as a formula: an apostrophe stands in front of whatever would begin one, at the beginning of the cell or where
// a spreadsheet may part it. Who wrote a name into an event is not who opens the table.
func harmless(cell string) string {
	if !strings.ContainsAny(cell, formulaStarts) {
		return cell
	}
	var b strings.Builder
	starting := true
	for _, c := range cell {
		if starting && strings.ContainsRune(formulaStarts, c) {
			b.WriteByte('\'')
		}
		b.WriteRune(c)
		// Spaces in front of a formula do not keep it from being one everywhere.
		starting = strings.ContainsRune(cellEnds, c) || starting && (c == ' ' || c == '\u00a0' || c == '\'' || c == '"')
	}
	return b.String()
}

const (
	// formulaStarts begin formulas, or parts of them that are run, in the one or the other spreadsheet; the wide ones are taken for their narrow sisters.
	formulaStarts = "=+-@\t\r\n|%＝＋－＠"
	// cellEnds part cells.
	cellEnds = ";,\t\r\n|"
)
