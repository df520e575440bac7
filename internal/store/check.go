package store

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Checker holds the columns of rows against their entries. Only the entry is covered by
// the log's hashes; the other columns are what SQL is asked for. It belongs to one goroutine.
type Checker struct {
	entry  chain.Entry
	sealed gdpr.Sealed
	parser *events.Parser
	event  events.Event
	record []byte
	text   []byte // scratch
	gone   uint64 // entries below it may have no content any more
}

// NewChecker returns a Checker that can be used for any number of rows.
func NewChecker() *Checker { return &Checker{parser: events.NewParser(), text: make([]byte, 0, 4<<10)} }

// NoContentBelow lets entries below a seq have no content, though they name one: it was dropped.
func (c *Checker) NoContentBelow(seq uint64) { c.gone = seq }

// Check returns a *chain.Fault that names the first column which does not say what the
// entry says. That the entry itself is the right one is for chain.Verifier.
func (c *Checker) Check(r *Stored) error {
	fault := func(reason string) error { return &chain.Fault{Log: r.Log, Seq: r.Seq, Reason: reason} }
	if err := chain.ParseEntry(r.Entry, &c.entry); err != nil {
		return fault(err.Error())
	}
	if err := c.parse(); err != nil {
		return fault("its event: " + err.Error())
	}
	for _, differs := range []func(*Stored) string{c.header, c.content, c.people, c.names, c.numbers} {
		if column := differs(r); column != "" {
			return fault("column " + column + " does not agree with the entry")
		}
	}
	return nil
}

// parse reads the event of the entry into c.event; an empty one if it has none.
func (c *Checker) parse() error {
	c.event = events.Event{}
	switch c.entry.Header.Kind {
	case chain.KindSystem:
		return c.parser.Parse(c.entry.Event, &c.event)
	case chain.KindEvent:
		// The public part of an event is an event, but for the schema's name.
		c.record = append(c.record[:0], `{"schema":"`+events.Schema+`",`...)
		c.record = append(c.record, c.entry.Event[1:]...)
		return c.parser.Parse(c.record, &c.event)
	}
	return nil
}

// differing returns the first column that does not agree.
func differing(columns ...check) string {
	for _, c := range columns {
		if !c.agrees {
			return c.column
		}
	}
	return ""
}

type check struct {
	column string
	agrees bool
}

func (c *Checker) header(r *Stored) string {
	h := &c.entry.Header
	at := Row{Header: h}
	if h.Kind == chain.KindEvent || h.Kind == chain.KindSystem {
		at.Event = &c.event
	}
	return differing(
		check{"log", r.Log == h.Log},
		check{"seq", r.Seq == h.Seq},
		check{"epoch", r.Epoch == h.Epoch},
		check{"kind", r.Kind == h.Kind},
		check{"sealed_at", r.SealedAt.UnixMicro() == h.SealedMicros},
		check{"kafka_offset", r.KafkaOffset == h.Source.Offset},
		check{"next_offset", r.NextOffset == h.Source.Next},
		check{"record_time", r.RecordTime.UnixMilli() == clampMillis(h.Source.TimeMillis)},
		check{"time", r.Time.UnixMicro() == timeOf(&at)},
	)
}

// content compares the ciphertext and what the columns say of it.
func (c *Checker) content(r *Stored) string {
	if c.entry.Content == nil {
		return differing(
			check{"content", len(r.Content) == 0},
			check{"content_alg", r.ContentAlg == ""},
			check{"content_key", len(r.ContentKey) == 0},
		)
	}
	if err := gdpr.ParseSealed(c.entry.Content, &c.sealed); err != nil {
		return fmt.Sprintf("entry (%v)", err)
	}
	return differing(
		check{"content", sha256.Sum256(r.Content) == c.sealed.SHA256 || len(r.Content) == 0 && r.Seq < c.gone},
		check{"content_alg", r.ContentAlg == c.sealed.Algorithm},
		check{"content_key", slices.Equal(r.ContentKey, c.sealed.Keys)},
	)
}

func (c *Checker) people(r *Stored) string {
	e := &c.entry
	var approver [16]byte
	if text := c.event.Raw(events.FieldApprovalApprover); text != nil {
		approver, _ = events.ParseUUID(text) // what is none agrees with the zero UUID only
	}
	ip := string(events.AppendUnescaped(nil, e.IP))
	threat := e.Threat
	if threat == "" {
		threat = ThreatNone.String()
	}
	return differing(
		check{"subject", r.Subject == e.Subject},
		check{"data_subjects", slices.EqualFunc(r.DataSubjects, e.DataSubjects, func(a gdpr.SubjectID, b [16]byte) bool { return a == b })},
		check{"approver", r.Approver == approver},
		check{"ip", r.IP == ip},
		check{"session_id", c.says(events.FieldSessionID, r.SessionID)},
		check{"conversation_id", c.says(events.FieldConversationID, r.ConversationID)},
		check{"resource_id", c.says(events.FieldResourceID, r.ResourceID)},
		check{"threat", r.Threat.String() == threat},
		check{"findings", slices.Equal(r.Findings, e.Findings)},
	)
}

// says tells whether the event's field is value, "" being absent.
func (c *Checker) says(f events.Field, value string) bool {
	return string(c.event.Value(f, c.text[:0])) == value
}

func (c *Checker) names(r *Stored) string {
	return differing(
		check{"event_id", r.EventID == c.event.ID()},
		check{"outcome", r.Outcome == c.event.Outcome()},
		check{"tenant", c.says(events.FieldTenant, r.Tenant)},
		check{"type", c.says(events.FieldType, r.Type)},
		check{"action", c.says(events.FieldAction, r.Action)},
		check{"agent_id", c.says(events.FieldAgentID, r.AgentID)},
		check{"agent_name", c.says(events.FieldAgentName, r.AgentName)},
		check{"agent_version", c.says(events.FieldAgentVersion, r.AgentVersion)},
		check{"trace_id", c.says(events.FieldTraceID, r.TraceID)},
		check{"span_id", c.says(events.FieldSpanID, r.SpanID)},
		check{"tool", c.says(events.FieldToolName, r.Tool)},
		check{"tool_call_id", c.says(events.FieldToolCallID, r.ToolCallID)},
		check{"provider", c.says(events.FieldModelProvider, r.Provider)},
		check{"model", c.says(events.FieldModelName, r.Model)},
		check{"resource_type", c.says(events.FieldResourceType, r.ResourceType)},
		check{"error_type", c.says(events.FieldErrorType, r.ErrorType)},
		check{"risk", c.says(events.FieldApprovalRisk, r.Risk)},
		check{"approval_decision", c.says(events.FieldApprovalDecision, r.ApprovalDecision)},
		check{"approval_policy", c.says(events.FieldApprovalPolicy, r.ApprovalPolicy)},
		check{"producer_id", c.says(events.FieldProducerID, r.ProducerID)},
	)
}

func (c *Checker) numbers(r *Stored) string {
	attributes := make(map[string]string, c.event.NumAttributes())
	for i := range c.event.NumAttributes() {
		key, value := c.event.RawAttribute(i)
		attributes[string(events.AppendUnescaped(nil, key))] = string(events.AppendUnescaped(nil, value))
	}
	return differing(
		check{"input_tokens", r.InputTokens == c.event.Uint(events.FieldInputTokens)},
		check{"output_tokens", r.OutputTokens == c.event.Uint(events.FieldOutputTokens)},
		check{"cost_usd", r.CostUSD == c.event.CostUSD()},
		check{"duration_ms", r.DurationMS == c.event.Uint(events.FieldDurationMS)},
		check{"rows", r.Rows == c.event.Uint(events.FieldRows)},
		check{"producer_seq", r.ProducerSeq == c.event.Uint(events.FieldProducerSeq)},
		check{"attributes", maps.Equal(r.Attributes, attributes)},
	)
}
