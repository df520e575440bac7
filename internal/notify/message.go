package notify

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/slack-go/slack"

	"github.com/agentaudit/agentaudit/internal/alert"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// Slack's limits (docs.slack.dev, Block Kit). Beyond them a message is refused.
const (
	maxSectionRunes = 3000
	maxHeaderRunes  = 150
)

// Limits of ours, in characters before < and the like are written as entities, which makes five of one. They keep within Slack's whatever the text.
const (
	maxName     = 40  // of an agent, tool or tenant: eight fill a field at worst
	maxIdentity = 80  // of a person
	maxEvidence = 160 // of what was expected or seen: a signal fills a section at worst
	maxSignal   = 60  // of a signal's name
	shownFirst  = 3   // signals in the message itself; the others are in its thread
)

// Types of metadata: how a message is found again (docs.slack.dev, "Message metadata").
const (
	incidentEvent = "agentaudit_incident"
	detailEvent   = "agentaudit_incident_detail"
	digestEvent   = "agentaudit_digest"
)

// Keys of metadata.
const (
	idKey       = "incident_id"
	revisionKey = "revision"
	stateKey    = "state" // of details: which ones
)

// message is what is posted to Slack.
type message struct {
	text     string // what notifications show, and clients that cannot show blocks
	blocks   []slack.Block
	metadata slack.SlackMetadata
}

// shown is an incident as it is to be shown.
type shown struct {
	incident anomaly.Incident
	verdict  vault.NoticeVerdict
	identity string // "": the pseudonym has to do
	buttons  bool
}

// mrkdwn is text in which only what stands there is interpreted: no links and names are looked for.
func mrkdwn(text string) *slack.TextBlockObject {
	return &slack.TextBlockObject{Type: slack.MarkdownType, Text: text, Verbatim: true}
}

func section(text string) slack.Block { return slack.NewSectionBlock(mrkdwn(text), nil, nil) }

func plainText(text string) *slack.TextBlockObject {
	no := false
	return &slack.TextBlockObject{Type: slack.PlainTextType, Text: text, Emoji: &no}
}

// marks are seen before anything is read.
var marks = [...]string{anomaly.Low: "⚪", anomaly.Medium: "🟡", anomaly.High: "🟠", anomaly.Critical: "🔴"}

// headline is the first line.
func headline(in *anomaly.Incident) string {
	if in.Status == anomaly.Withdrawn {
		return "Withdrawn: " + plain(in.Title, maxHeaderRunes-20)
	}
	word := in.Severity.String()
	return marks[in.Severity] + " " + strings.ToUpper(word[:1]) + word[1:] + ": " + plain(in.Title, maxHeaderRunes-20)
}

// statusText says how far an incident is; nothing of a status that is not known.
func statusText(s anomaly.Status) string {
	switch s {
	case anomaly.Provisional:
		return "provisional: it may still change"
	case anomaly.Final:
		return "final"
	case anomaly.Withdrawn:
		return "withdrawn: with the events that came late it is no incident"
	}
	return ""
}

// live is the message of an incident that is kept up to date.
func live(s *shown) message {
	in := &s.incident
	m := message{
		text: fmt.Sprintf("%s (tenant %s, %s, %s)", headline(in), plain(in.Tenant, maxName), in.Status, in.ID),
		metadata: slack.SlackMetadata{EventType: incidentEvent, EventPayload: map[string]any{
			idKey: in.ID.String(), revisionKey: in.Revision,
		}},
	}
	m.blocks = append(m.blocks, slack.NewHeaderBlock(plainText(headline(in))), slack.NewSectionBlock(nil, fields(s), nil))
	for i := range in.Signals[:min(len(in.Signals), shownFirst)] {
		m.blocks = append(m.blocks, section(evidence(&in.Signals[i])))
	}
	if more := len(in.Signals) - shownFirst; more > 0 {
		m.blocks = append(m.blocks, section(fmt.Sprintf("%d more in the thread", more)))
	}
	if query := entriesQuery(in); query != "" {
		m.blocks = append(m.blocks, section("The entries that show it:\n```"+entities.Replace(query)+"```"))
	}
	if said := verdictLine(s.verdict); said != "" {
		m.blocks = append(m.blocks, section(said))
	}
	if s.buttons && in.Status != anomaly.Withdrawn {
		m.blocks = append(m.blocks, buttons(in.ID))
	}
	m.blocks = append(m.blocks, slack.NewContextBlock("", mrkdwn(fmt.Sprintf("incident `%s`, revision %d", in.ID, in.Revision))))
	return m
}

func fields(s *shown) []*slack.TextBlockObject {
	in := &s.incident
	var list []*slack.TextBlockObject
	field := func(name, value string) { list = append(list, mrkdwn("*"+name+"*\n"+value)) }
	field("Status", statusText(in.Status))
	field("Tenant", code(in.Tenant, maxName))
	if in.Subject != uuid.Nil {
		user := "`" + in.Subject.String() + "` (pseudonym)"
		if s.identity != "" {
			user += "\n" + code(s.identity, maxIdentity)
		}
		field("User", user)
	}
	switch in.Kind {
	case anomaly.EntityAgent:
		field("Agent", code(in.Entity, maxName))
	case anomaly.EntityProducer:
		field("Producer", code(in.Entity, maxName))
	}
	if len(in.Agents) > 0 {
		field("Agents", codes(in.Agents, maxName))
	}
	if len(in.Tools) > 0 {
		field("Tools", codes(in.Tools, maxName))
	}
	field("When", span(in.First, in.Last))
	field("Cost", usd(in.CostUSD))
	field("Entries", strconv.FormatUint(in.EventCount, 10))
	return list
}

// evidence is one signal in a sentence.
func evidence(s *anomaly.Signal) string {
	text := "*" + code(s.Name, maxSignal) + "* expected " + code(s.Expected, maxEvidence) + ", seen " + code(s.Observed, maxEvidence)
	if !s.Since.IsZero() {
		text += ", since " + s.Since.UTC().Format(dayTime) + " UTC"
	}
	return text
}

// entriesQuery finds the entries of an incident. Only what cannot be anything but an id is put into SQL.
func entriesQuery(in *anomaly.Incident) string {
	if len(in.Events) == 0 {
		return ""
	}
	ids := make([]string, len(in.Events))
	for i, id := range in.Events {
		ids[i] = "'" + id.String() + "'"
	}
	return "SELECT time, type, action, outcome, agent_name, tool, rows, cost_usd, findings\nFROM audit.events\nWHERE event_id IN (" +
		strings.Join(ids, ",\n  ") + ")\nORDER BY time"
}

// aroundQuery finds what else the user did in that time.
func aroundQuery(in *anomaly.Incident) string {
	if in.Subject == uuid.Nil {
		return ""
	}
	around := func(t time.Time) string { return t.UTC().Format(dayTime) }
	return fmt.Sprintf("SELECT time, type, action, outcome, agent_name, tool, rows, cost_usd, findings\nFROM audit.events\n"+
		"WHERE subject = '%s'\n  AND time >= toDateTime64('%s', 3, 'UTC') AND time < toDateTime64('%s', 3, 'UTC')\nORDER BY time",
		in.Subject, around(in.First.Add(-10*time.Minute)), around(in.Last.Add(10*time.Minute)))
}

// verdictLine says what somebody said.
func verdictLine(v vault.NoticeVerdict) string {
	at := v.At.UTC().Format(dayTime) + " UTC by " + code(v.By, maxName)
	switch v.Verdict {
	case alert.Acknowledge.Status():
		return "*Acknowledged* " + at
	case alert.FalsePositive.Status():
		return "*Called a false positive* " + at
	case alert.Snooze.Status():
		return "*Snoozed* until " + v.Until.UTC().Format(dayTime) + " UTC, " + at
	}
	return ""
}

// The ids of buttons: what Slack says was pressed.
const (
	acknowledgeAction   = "agentaudit_acknowledge"
	snoozeAction        = "agentaudit_snooze"
	falsePositiveAction = "agentaudit_false_positive"
	snoozeFor           = time.Hour
)

func buttons(id uuid.UUID) slack.Block {
	button := func(action, text string) *slack.ButtonBlockElement {
		return slack.NewButtonBlockElement(action, id.String(), plainText(text))
	}
	return slack.NewActionBlock("", button(acknowledgeAction, "Acknowledge"), button(snoozeAction, "Snooze 1 h"), button(falsePositiveAction, "False positive"))
}

// threadState is what a thread would say of an incident, in short: as long as it stays, the thread is left alone. Numbers that grow are shown in the
// message itself, which disturbs nobody.
func threadState(in *anomaly.Incident) string {
	sum := fnv.New64a()
	for i := range in.Signals {
		_, _ = sum.Write([]byte(in.Signals[i].Name + "\n")) // never fails
	}
	return fmt.Sprintf("%s/%s/%016x", in.Severity, in.Status, sum.Sum64())
}

// rose says whether an incident has become more severe, and is high at least, since its thread was told something.
func rose(told string, in *anomaly.Incident) bool {
	name, _, _ := strings.Cut(told, "/")
	var before anomaly.Severity
	return before.UnmarshalText([]byte(name)) == nil && in.Severity > before && in.Severity >= anomaly.High
}

// details is what the thread of an incident is told: all signals, and SQL to look around.
func details(in *anomaly.Incident) message {
	state := threadState(in)
	first := fmt.Sprintf("Revision %d: *%s*, %s. %d entries, %s, %s.", in.Revision, in.Severity, statusText(in.Status), in.EventCount, usd(in.CostUSD), span(in.First, in.Last))
	m := message{
		text: fmt.Sprintf("Revision %d: %s, %s", in.Revision, in.Severity, in.Status),
		metadata: slack.SlackMetadata{EventType: detailEvent, EventPayload: map[string]any{
			idKey: in.ID.String(), revisionKey: in.Revision, stateKey: state,
		}},
		blocks: []slack.Block{section(first)},
	}
	rows := make([]string, len(in.Signals))
	for i := range in.Signals {
		rows[i] = tableRow(&in.Signals[i])
	}
	m.blocks = append(m.blocks, table(rows)...)
	if query := aroundQuery(in); query != "" && in.Status != anomaly.Withdrawn {
		m.blocks = append(m.blocks, section("What else this user did around that time:\n```"+entities.Replace(query)+"```"))
	}
	return m
}

// table shows rows in as few blocks as there is room in.
func table(rows []string) []slack.Block {
	var blocks []slack.Block
	var text strings.Builder
	runes := 0
	flush := func() {
		if runes > 0 {
			blocks = append(blocks, section("```"+text.String()+"```"))
			text.Reset()
			runes = 0
		}
	}
	for _, row := range rows {
		n := utf8.RuneCountInString(row)
		if runes+n > maxSectionRunes-len("``````") {
			flush()
		}
		text.WriteString(row)
		runes += n
	}
	flush()
	return blocks
}

// tableRow is one signal in lines that stand below each other.
func tableRow(s *anomaly.Signal) string {
	value := func(text string) string { return entities.Replace(clean(text, maxEvidence)) }
	return fmt.Sprintf("%s\n  expected  %s\n  seen      %s\n  score     %.1f, since %s UTC\n",
		entities.Replace(clean(s.Name, maxSignal)), value(s.Expected), value(s.Observed), s.Score, s.Since.UTC().Format(dayTime))
}
