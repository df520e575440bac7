package archive

import (
	"bytes"
	"strings"
	"text/template"

	"github.com/agentaudit/agentaudit/internal/reveal"
)

// readmeText is README.txt. Its lines are short: it is read in whatever opens a text file.
var readmeText = template.Must(template.New("README.txt").Parse(`What is kept about you
======================

Deployment:  {{.Deployment}}
Tenant:      {{.Tenant}}
User:        {{.User}}
Pseudonym:   {{.Subject}}
Request:     {{.Request}}
Made at:     {{.Created}}
Events:      {{.Total}}

This archive was made because somebody asked, in your name, which data about
you an audit log of AI agents keeps. It is an answer to a request under
Articles 15 and 20 of the General Data Protection Regulation.

In the log itself you stand under the pseudonym above. Other people stand here
under theirs, and nobody here says who they are. What agents and people wrote
is shown as it was written.


The files
---------

events.csv      Your events as a table. Open it with a spreadsheet (as UTF-8,
                parted by commas). Where a cell would have been run as a
                formula, an apostrophe (') was put in front of it.
events.jsonl    The same events for programs: one JSON object a line.
consents.json   What you have agreed to, or do not agree to any more, by
                purpose, with everything that you have said about it.
proofs/         Proofs that these events stand in the log, unchanged.
checkpoints/    What the operator had signed about each log by then.
keys.txt        The public keys that these signatures are checked with.
manifest.json   A list of these files with their sizes and SHA-256 digests.

Each event says:

  log, seq        where it stands: which log, and at which place
  event_id, time  its number, and when it happened
  type, action, outcome
                  what happened, and how it ended
  tenant, user    on whose behalf. "user" is there if it is you
  subject         the pseudonym of who acted
  data_subjects   the pseudonyms of people whose data was touched
  findings, threat
                  what automatic checks have noted
  event           all public parts of the event, as they stand in the log
  content         what was encrypted in the log: inputs, outputs, addresses
  content_state   "{{.Opened}}": the content is here
                  "{{.Destroyed}}": it can be read by nobody any more, because
                  somebody else who stands in it was erased
                  "{{.Dropped}}": it was kept for its time only
                  "{{.Damaged}}": what is stored is not what
                  was sealed; ask the operator

Events of which the time to keep them has passed are not here: they do not
exist any more. Not here either: records that the log could not read, which
nobody can tell whose they are, and events in which you did nothing but
approve what somebody else did.


How an expert checks it
-----------------------

Each proof has the log's entry, the hashes that lead from it to the root of a
tree over all entries of the log, and the root with the operator's signature
(C2SP tlog-proof). The program below is free; it needs neither network nor
database. Take the key from where the operator publishes it rather than from
this archive, and compare it with keys.txt.

{{range .Logs}}  agentaudit verify-proof {{.}}{{range $.Keys}} --key {{.}}{{end}}
{{else}}  (There are no events, so there is nothing to prove.)
{{end}}
"good: entry N of LOG" is printed for each proof, with the entry, and the exit
code is 0 if all are good. The entry has the same public parts as the line of
events.jsonl with that log and seq, and the digest of the encrypted content.

Whole logs are checked, from their first entry on, with

  agentaudit-verify
`))

// readme returns README.txt.
func (a *archive) readme(vkeys []string) []byte {
	m := &a.manifest
	var logs []string
	for i := range a.logs {
		logs = append(logs, proofsName(a.logs[i].Log))
	}
	var text bytes.Buffer
	err := readmeText.Execute(&text, map[string]any{
		"Deployment": m.Deployment, "Tenant": oneLine(a.order.Who.Tenant), "User": oneLine(a.order.Who.User), "Subject": m.Subject, "Request": m.Request,
		"Created": m.Created, "Total": a.total, "Logs": logs, "Keys": vkeys,
		"Opened": reveal.ContentOpened, "Destroyed": reveal.ContentDestroyed, "Dropped": reveal.ContentDropped, "Damaged": reveal.ContentDamaged,
	})
	if err != nil {
		panic(err) // a mistake in the text, which every test would find
	}
	return text.Bytes()
}

// oneLine keeps a name, which may be anything, from looking like another line.
func oneLine(name string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == '\u2028' || c == '\u2029' || c == '\u0085' {
			return ' '
		}
		return c
	}, name)
}
