// Package report is the answer of a check of logs and how it is printed, whoever has checked: `agentaudit verify` beside the database, or agentaudit-verify
// far from it. It imports neither.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
)

// Report is the answer about logs.
type Report struct {
	OK      bool   `json:"ok"`
	Entries uint64 `json:"entries"`
	Logs    []Log  `json:"logs"`
}

// Log is the answer about one log.
type Log struct {
	Log  string `json:"log"`
	Size uint64 `json:"size"` // entries that are good, from the first on
	Root string `json:"root"` // of the Merkle tree over them, hex; empty: there are none
	Head string `json:"head"` // leaf hash of the last good entry, hex; empty: there is none
	// FirstBad is the first place where the log is not what it must be; nil if there is none. In a log that is
	// shorter than a checkpoint of it, seq is where it ends.
	FirstBad *Bad `json:"first_bad"`
	// Pruned is what retention has dropped, by a signed record; nil: nothing.
	Pruned *Gap `json:"pruned,omitempty"`
	// Notes are about entries that are good by themselves; they do not make the log bad.
	Notes        []Note `json:"notes,omitempty"`
	NotesLeftOut uint64 `json:"notes_left_out,omitempty"` // how many more there are
}

// Bad is a place and what is wrong there. Reasons quote nothing of an entry.
type Bad struct {
	Seq    uint64 `json:"seq"`
	Reason string `json:"reason"`
}

// Gap is a part of a log that is not there any more. Its leaf hashes were checked, its entries could not be.
type Gap struct {
	From   uint64 `json:"from"`
	Behind uint64 `json:"behind"` // the first entry that is there again
}

// Note is something that an auditor should know though the log is what it must be. Its text quotes nothing of an entry.
type Note struct {
	Seq  uint64 `json:"seq"`
	Text string `json:"text"`
}

// Of sums up what was found about each log.
func Of(logs []Log) Report {
	total := Report{OK: true, Logs: logs}
	for _, log := range logs {
		total.Entries += log.Size
		total.OK = total.OK && log.FirstBad == nil
	}
	return total
}

// WriteJSON writes the report as one line of JSON.
func (r Report) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// WriteText writes the report for people. Good is how it is put that nothing is wrong: it says what was looked at.
func (r Report) WriteText(w io.Writer, good string) error {
	for _, log := range r.Logs {
		if err := log.writeText(w); err != nil {
			return err
		}
	}
	answer := good
	if !r.OK {
		answer = "BAD: see above"
	}
	_, err := fmt.Fprintf(w, "%s in %s: %s\n", Count(r.Entries, "entry", "entries"), Count(uint64(len(r.Logs)), "log", "logs"), answer)
	return err
}

func (l *Log) writeText(w io.Writer) error {
	state := "good"
	if l.FirstBad != nil {
		state = fmt.Sprintf("BAD at seq %d: %s", l.FirstBad.Seq, l.FirstBad.Reason)
	}
	if _, err := fmt.Fprintf(w, "%-24s %12d entries  %s\n", l.Log, l.Size, state); err != nil {
		return err
	}
	if l.Pruned != nil {
		if _, err := fmt.Fprintf(w, "    entries %d to %d were pruned, as a signed record says; their hashes are good\n", l.Pruned.From, l.Pruned.Behind-1); err != nil {
			return err
		}
	}
	for _, about := range l.Notes {
		if _, err := fmt.Fprintf(w, "    note at seq %d: %s\n", about.Seq, about.Text); err != nil {
			return err
		}
	}
	if l.NotesLeftOut > 0 {
		if _, err := fmt.Fprintf(w, "    and %d more notes\n", l.NotesLeftOut); err != nil {
			return err
		}
	}
	return nil
}

// Count is a number of things in words: 1 entry, 2 entries.
func Count(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatUint(n, 10) + " " + many
}
