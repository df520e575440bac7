package ingest

import (
	"github.com/agentaudit/agentaudit/pkg/events"
)

// member is a public field and the name under which it stands in its object.
type member struct {
	field events.Field
	name  string
}

// group is an object of the wire event with public members.
type group struct {
	name    string
	strings []member
	numbers []member
}

// The public part of an event, in the order in which it is written. The fields that
// a policy or the vault decides about are not here: see appendEvent.
var (
	leadingStrings = []member{
		{events.FieldTime, "time"}, {events.FieldType, "type"},
		{events.FieldAction, "action"}, {events.FieldOutcome, "outcome"}, {events.FieldTenant, "tenant"},
		{events.FieldTraceID, "trace_id"}, {events.FieldSpanID, "span_id"},
	}
	publicGroups = []group{
		{name: "agent", strings: []member{{events.FieldAgentID, "id"}, {events.FieldAgentName, "name"}, {events.FieldAgentVersion, "version"}}},
		{name: "tool", strings: []member{{events.FieldToolName, "name"}, {events.FieldToolCallID, "call_id"}}},
		{name: "model", strings: []member{{events.FieldModelProvider, "provider"}, {events.FieldModelName, "name"}}},
		{name: "usage", numbers: []member{{events.FieldInputTokens, "input_tokens"}, {events.FieldOutputTokens, "output_tokens"}, {events.FieldCostUSD, "cost_usd"}}},
		{name: "error", strings: []member{{events.FieldErrorType, "type"}}},
		{name: "producer", strings: []member{{events.FieldProducerID, "id"}}, numbers: []member{{events.FieldProducerSeq, "seq"}}},
	}
	trailingNumbers = []member{{events.FieldRows, "rows"}, {events.FieldDurationMS, "duration_ms"}}
)

// appendName appends `"name":`. Names need no escaping.
func appendName(dst []byte, name string) []byte {
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

// appendRaw appends `"name":"value",` where value already is the inside of a JSON string.
func appendRaw(dst []byte, name string, value []byte) []byte {
	dst = appendName(dst, name)
	dst = append(dst, '"')
	dst = append(dst, value...)
	return append(dst, '"', ',')
}

// appendJSON appends `"name":value,` where value already is JSON.
func appendJSON(dst []byte, name string, value []byte) []byte {
	dst = appendName(dst, name)
	dst = append(dst, value...)
	return append(dst, ',')
}

// closeWith replaces the comma behind the last member, if there is one.
func closeWith(dst []byte, bracket byte) []byte {
	if dst[len(dst)-1] == ',' {
		dst[len(dst)-1] = bracket
		return dst
	}
	return append(dst, bracket)
}

func appendMembers(dst []byte, ev *events.Event, strings, numbers []member) []byte {
	for _, m := range strings {
		if ev.Has(m.field) {
			dst = appendRaw(dst, m.name, ev.Raw(m.field))
		}
	}
	for _, m := range numbers {
		if ev.Has(m.field) {
			dst = appendJSON(dst, m.name, ev.Raw(m.field))
		}
	}
	return dst
}

// appendObject appends `"name":{…},` unless the object has no public member.
func appendObject(dst []byte, ev *events.Event, g *group) []byte {
	start := len(dst)
	dst = append(appendName(dst, g.name), '{')
	empty := len(dst)
	dst = appendMembers(dst, ev, g.strings, g.numbers)
	if len(dst) == empty {
		return dst[:start]
	}
	return append(closeWith(dst, '}'), ',')
}

// appendEvent appends the value of the entry's member "event": the public fields as
// they came, and what stands for the others.
func (s *recordSealer) appendEvent(dst []byte) []byte {
	ev, row := &s.event, &s.row
	// Not copied: a producer may have written the id in upper case or with escapes, and followers of the chain read it without a JSON parser.
	dst = append(dst, `{"event_id":"`...)
	dst = events.UUID(ev.ID()).AppendTo(dst)
	dst = append(dst, '"', ',')
	dst = appendMembers(dst, ev, leadingStrings, nil)
	if row.SessionID != nil {
		dst = appendText(dst, "session_id", row.SessionID)
	}
	if row.ConversationID != nil {
		dst = appendText(dst, "conversation_id", row.ConversationID)
	}
	for i := range publicGroups {
		dst = appendObject(dst, ev, &publicGroups[i])
	}
	dst = s.appendResource(dst)
	dst = s.appendApproval(dst)
	dst = appendMembers(dst, ev, nil, trailingNumbers)
	if s.fields.Attributes == PolicyClear {
		dst = appendAttributes(dst, ev)
	}
	return closeWith(dst, '}')
}

// appendAttributes appends `"attributes":{…},` unless there are none.
func appendAttributes(dst []byte, ev *events.Event) []byte {
	if ev.NumAttributes() == 0 {
		return dst
	}
	dst = append(dst, `"attributes":{`...)
	for i := range ev.NumAttributes() {
		key, value := ev.RawAttribute(i)
		dst = append(dst, '"')
		dst = append(dst, key...)
		dst = append(dst, '"', ':', '"')
		dst = append(dst, value...)
		dst = append(dst, '"', ',')
	}
	return append(closeWith(dst, '}'), ',')
}

// appendText appends `"name":"value",` for a token or a clear value, which may need escaping.
func appendText(dst []byte, name string, value []byte) []byte {
	return append(events.AppendQuoted(appendName(dst, name), value), ',')
}

func (s *recordSealer) appendResource(dst []byte) []byte {
	hasType := s.event.Has(events.FieldResourceType)
	if !hasType && s.row.ResourceID == nil {
		return dst
	}
	dst = append(dst, `"resource":{`...)
	if hasType {
		dst = appendRaw(dst, "type", s.event.Raw(events.FieldResourceType))
	}
	if s.row.ResourceID != nil {
		dst = appendText(dst, "id", s.row.ResourceID)
	}
	return append(closeWith(dst, '}'), ',')
}

func (s *recordSealer) appendApproval(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, `"approval":{`...)
	empty := len(dst)
	dst = appendMembers(dst, &s.event, approvalStrings, nil)
	if s.row.Approver != ([16]byte{}) {
		dst = append(dst, `"approver":"`...)
		dst = events.UUID(s.row.Approver).AppendTo(dst)
		dst = append(dst, '"', ',')
	}
	if len(dst) == empty {
		return dst[:start]
	}
	return append(closeWith(dst, '}'), ',')
}

var approvalStrings = []member{
	{events.FieldApprovalRisk, "risk"}, {events.FieldApprovalDecision, "decision"}, {events.FieldApprovalPolicy, "policy"},
}
