// Package inspect finds in an event's content what package scan looks for. Ingest, which seals the findings, and the detector, which weighs them, read events
// with it, so that what is alerted on is what stands in the log.
package inspect

import (
	"bytes"

	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// maxFindings bounds what one event brings into its entry. There are about that many kinds.
const maxFindings = 48

// Inspector inspects one event at a time. It belongs to one goroutine.
type Inspector struct {
	scanner  *scan.Scanner
	scratch  *scan.Scratch
	text     []byte
	findings []scan.Finding
}

// New returns an inspector with a scanner that others may share.
func New(scanner *scan.Scanner) *Inspector {
	return &Inspector{scanner: scanner, scratch: scan.NewScratch()}
}

// Inspect returns what was found in the content of an event, each finding's name once, and the highest threat: scan.None when there is no content. What it
// returns is valid until the next call.
func (in *Inspector) Inspect(ev *events.Event) ([]scan.Finding, scan.Threat) {
	in.findings = in.findings[:0]
	input, output := sources(ev.Raw(events.FieldType))
	threat := max(in.scan(ev, events.FieldContentInput, input), in.scan(ev, events.FieldContentOutput, output))
	return in.findings, threat
}

// Failed is the finding of a text of which looking through it failed: by a mistake in package scan, which must neither stop the partition that has the text nor let the
// text pass as one that was looked at.
const Failed = "scan.failed"

func (in *Inspector) scan(ev *events.Event, field events.Field, from scan.Source) (threat scan.Threat) {
	if !ev.Has(field) {
		return scan.None
	}
	defer func() {
		if recover() != nil { // what it says may quote the text
			in.scratch, threat = scan.NewScratch(), scan.Medium
			if !in.has(Failed) {
				in.findings = append(in.findings, scan.Finding{Name: Failed})
			}
		}
	}()
	text := ev.Raw(field)
	if bytes.IndexByte(text, '\\') >= 0 {
		// The escapes of all strings at once, also inside an object: words are what is looked for, not the structure.
		in.text = events.AppendUnescaped(in.text[:0], text)
		text = in.text
	}
	found, threat := in.scanner.Scan(in.scratch, text, from)
	for _, f := range found {
		if len(in.findings) == maxFindings {
			break
		}
		if !in.has(f.Name) {
			in.findings = append(in.findings, f)
		}
	}
	return threat
}

func (in *Inspector) has(name string) bool {
	for i := range in.findings {
		if in.findings[i].Name == name {
			return true
		}
	}
	return false
}

// sources tells where input and output of an event come from, by its type.
func sources(eventType []byte) (input, output scan.Source) {
	family, _, _ := bytes.Cut(eventType, []byte{'.'})
	switch string(family) {
	case "tool", "data":
		return scan.FromModel, scan.FromTool // the model writes the arguments, and reads what comes back
	default:
		return scan.FromUser, scan.FromModel
	}
}
