package ingest

import (
	"encoding/base64"

	"github.com/agentaudit/agentaudit/pkg/events"
)

// appendContent appends the plaintext of an event's sealed content: what the
// public part does not show as it came. It is `{}` when there is nothing.
//
// The approver is not among it: the vault leads the pseudonym back to the person,
// and erasing an approver must not depend on somebody else's key.
func (s *recordSealer) appendContent(dst []byte) []byte {
	ev := &s.event
	dst = append(dst, '{')
	if ev.Has(events.FieldContentInput) {
		dst = appendJSON(dst, "input", ev.Raw(events.FieldContentInput))
	}
	if ev.Has(events.FieldContentOutput) {
		dst = appendJSON(dst, "output", ev.Raw(events.FieldContentOutput))
	}
	for _, f := range [...]struct {
		member
		policy Policy
	}{
		{member{events.FieldSessionID, "session_id"}, s.fields.SessionID},
		{member{events.FieldConversationID, "conversation_id"}, s.fields.ConversationID},
		{member{events.FieldSourceIP, "ip"}, s.fields.SourceIP},
		{member{events.FieldSourceUserAgent, "user_agent"}, PolicySealed},
		{member{events.FieldErrorMessage, "error_message"}, PolicySealed},
		{member{events.FieldResourceID, "resource_id"}, s.fields.ResourceID},
	} {
		if f.policy != PolicyClear && ev.Has(f.field) {
			dst = appendRaw(dst, f.name, ev.Raw(f.field))
		}
	}
	if s.fields.Attributes == PolicySealed {
		dst = appendAttributes(dst, ev)
	}
	dst = appendUnknown(dst, ev)
	return closeWith(dst, '}')
}

// appendUnknown appends the members that the schema does not know, by the object
// they stood in: `"extra":{"":{…top level…},"agent":{…}},`. Any of them could be
// personal, so they are sealed.
func appendUnknown(dst []byte, ev *events.Event) []byte {
	n := ev.NumUnknown()
	if n == 0 {
		return dst
	}
	dst = append(dst, `"extra":{`...)
	for i := range n {
		group, _ := ev.Unknown(i)
		if firstOfGroup(ev, group) != i {
			continue
		}
		dst = append(appendName(dst, group), '{')
		for j := i; j < n; j++ {
			if g, raw := ev.Unknown(j); g == group {
				dst = append(dst, raw...)
				dst = append(dst, ',')
			}
		}
		dst = append(closeWith(dst, '}'), ',')
	}
	return append(closeWith(dst, '}'), ',')
}

func firstOfGroup(ev *events.Event, group string) int {
	for i := range ev.NumUnknown() {
		if g, _ := ev.Unknown(i); g == group {
			return i
		}
	}
	return -1
}

// appendRejectedContent appends the plaintext of a rejected record's sealed content:
// key and value as they were, in base64, because they may be anything.
func appendRejectedContent(dst, key, value []byte) []byte {
	dst = append(dst, `{"key":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, key)
	dst = append(dst, `","value":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, value)
	return append(dst, `"}`...)
}
