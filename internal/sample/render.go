package sample

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"time"

	"github.com/agentaudit/agentaudit/pkg/events"
)

// renderer turns a step into a record. The record points into it: it holds until
// the next call.
type renderer struct {
	rng                       *rand.Rand
	users, tenants            int
	rows, millis, input, outs uint64
	cost                      float64
	subjects                  []string
	content                   []byte
	text                      []byte
}

// render fills in r, whole.
func (w *renderer) render(r *events.Record, s *session, st *step) {
	at := s.begin.Add(st.at).Truncate(time.Microsecond)
	*r = events.Record{
		EventID: w.id(at), Time: at, Outcome: events.Success,
		Tenant: tenants[s.user.tenant].id, UserID: s.userID,
		Agent:     events.Agent{ID: s.agent.id},
		SessionID: s.id,
	}
	w.content = w.content[:0]
	switch st.kind {
	case stepLogin:
		r.Type, r.Action = "auth.login", "login"
		r.Agent.Name, r.Agent.Version = s.agent.name, s.agent.version
		r.Source = events.Source{IP: s.ip, UserAgent: userAgents[s.user.userAgent]}
		if st.fate == fateFailed {
			r.Outcome = events.Failure
			r.Error.Type = "bad_credentials"
		}
	case stepAsk:
		r.Type, r.Action = "message.user", "send"
		r.ConversationID = s.conversation
		r.Source.IP = s.ip
		r.Content.Input = w.quoted(s, st.text)
		if w.rng.Float64() < 0.1 {
			r.Attributes = map[string]string{"channel": pick(w.rng, channels), "locale": pick(w.rng, locales)}
		}
	case stepAnswer:
		r.Type, r.Action = "message.agent", "reply"
		r.ConversationID = s.conversation
		r.Model = events.Model{Provider: s.model.provider, Name: s.model.name}
		r.Content.Output = w.quoted(s, st.text)
	case stepModel:
		w.model(r, s, st)
	case stepTool:
		w.tool(r, s, st)
	case stepData:
		r.Type, r.Action = "data.access", "read"
		r.Tool.Name = st.action.tool
		r.Resource = events.Resource{Type: st.action.resource, ID: w.expand(s, st.action.id)}
		w.rows = 1 + uint64(st.action.rows*math.Exp(w.rng.NormFloat64()*0.6))
		if st.action.rows == 1 {
			w.rows = 1
		}
		r.Rows = &w.rows
		if st.action.customers {
			w.subjects = append(w.subjects[:0], s.facts.mail)
			r.DataSubjects = w.subjects
		}
	case stepApproval:
		w.approval(r, s, st)
	case stepRateLimit:
		r.Type, r.Action, r.Outcome = "rate_limit.exceeded", "call", events.Blocked
		r.Model = events.Model{Provider: s.model.provider, Name: s.model.name}
		r.Error = events.Error{Type: "rate_limit", Message: "429: tokens per minute"}
	case stepBlocked:
		r.Type, r.Action, r.Outcome = "security.blocked", "output_filter", events.Blocked
		r.Error.Type = "guardrail"
		r.Attributes = map[string]string{"guard": "output-filter", "rule": "card-number"}
	case stepPermission:
		r.Type, r.Action = "permission.change", "grant"
		r.Tool.Name = st.action.tool
		r.Attributes = map[string]string{"permission": "tool:" + st.action.tool, "granted_by": "role-admin"}
	case stepConfig:
		r.Type, r.Action = "config.change", "update"
		r.UserID, r.SessionID = "", ""
		r.Agent.Name, r.Agent.Version = s.agent.name, s.agent.version
		r.Attributes = map[string]string{"setting": "max_steps", "version": s.agent.version}
	default:
		w.incident(r, s, st)
	}
}

// id makes an event id that the seed determines.
func (w *renderer) id(at time.Time) events.UUID {
	var random [16]byte
	binary.LittleEndian.PutUint64(random[:], w.rng.Uint64())
	binary.LittleEndian.PutUint64(random[8:], w.rng.Uint64())
	return events.UUIDv7(at, [10]byte(random[:10]))
}

func (w *renderer) model(r *events.Record, s *session, st *step) {
	r.Type, r.Action = "llm.call", "chat"
	r.Model = events.Model{Provider: s.model.provider, Name: s.model.name}
	if w.rng.Float64() < 0.3 { // sampled
		r.TraceID, r.SpanID = s.trace, w.hex(8)
	}
	if st.fate == fateFailed {
		r.Outcome = events.Failure
		r.Error = events.Error{Type: "timeout", Message: "no answer from " + s.model.provider + " within 60 s"}
		w.millis = 60_000
		r.DurationMS = &w.millis
		return
	}
	w.usage(r, s.model, s.agent.inputTokens*float64(s.user.tokens), s.agent.outputTokens*float64(s.user.tokens), 0.55)
}

// usage draws tokens around their medians, log-normal, and what follows from them.
func (w *renderer) usage(r *events.Record, m *model, input, output, spread float64) {
	w.input = uint64(1 + input*math.Exp(w.rng.NormFloat64()*spread))
	w.outs = uint64(1 + output*math.Exp(w.rng.NormFloat64()*spread))
	w.cost = math.Round(float64(w.input)*m.input+float64(w.outs)*m.output) / 1e6
	w.millis = uint64(250 + float64(w.outs)*m.millisPerToken*math.Exp(w.rng.NormFloat64()*0.2))
	r.Usage = events.Usage{InputTokens: &w.input, OutputTokens: &w.outs, CostUSD: &w.cost}
	r.DurationMS = &w.millis
}

func (w *renderer) tool(r *events.Record, s *session, st *step) {
	a := st.action
	r.Type, r.Action = "tool.call", "call"
	r.Agent.Version = s.agent.version
	r.Tool = events.Tool{Name: a.tool, CallID: "call_" + w.hex(4)}
	w.millis = uint64(1 + a.millis*math.Exp(w.rng.NormFloat64()*0.5))
	r.DurationMS = &w.millis
	r.Content.Input = w.json(s, a.input)
	switch st.fate {
	case fateFailed:
		r.Outcome = events.Failure
		r.Error = pick(w.rng, toolErrors)
	case fateDenied:
		r.Outcome = events.Denied
		r.Error = events.Error{Type: "permission_denied", Message: "tool " + a.tool + " is not allowed for this user"}
	default:
		r.Content.Output = w.json(s, a.output)
	}
	if a.id != "" && st.fate != fateDenied {
		r.Resource = events.Resource{Type: a.resource, ID: w.expand(s, a.id)}
	}
}

func (w *renderer) approval(r *events.Record, s *session, st *step) {
	a := st.action
	r.Tool.Name = a.tool
	r.Resource = events.Resource{Type: a.resource, ID: w.expand(s, a.id)}
	r.Approval = events.Approval{Risk: a.risk, Policy: a.policy}
	if st.fate == fatePending {
		r.Type, r.Action, r.Outcome = "approval.request", "request", events.Pending
		return
	}
	r.Type, r.Action = "approval.decision", "decide"
	r.Approval.Decision = "approved"
	if st.fate == fateDenied {
		r.Approval.Decision, r.Outcome = "rejected", events.Denied
	}
	// The same few people decide for all of a tenant, but not about what they have asked for themselves: that would be an incident.
	bosses := max(1, min(6, w.users/w.tenants))
	place := w.rng.IntN(bosses)
	boss := user{index: uint32(place*w.tenants) + uint32(s.user.tenant), tenant: s.user.tenant}
	if boss.index == s.user.index {
		boss.index = uint32((place+1)%bosses*w.tenants) + uint32(s.user.tenant)
	}
	r.Approval.Approver = boss.id()
}

var (
	channels   = []string{"web", "web", "slack", "phone", "api"}
	locales    = []string{"en-GB", "de-DE", "pt-PT", "ja-JP", "en-US"}
	toolErrors = []events.Error{
		{Type: "timeout", Message: "upstream did not answer within 30 s"},
		{Type: "not_found", Message: "no record matches the query"},
		{Type: "http_502", Message: "bad gateway from the backend"},
		{Type: "invalid_argument", Message: "field amount: must be positive"},
	}
)

// quoted expands a template to a JSON string that holds until the next event.
func (w *renderer) quoted(s *session, template string) []byte {
	w.text = s.facts.expand(w.text[:0], template)
	start := len(w.content)
	w.content = events.AppendQuoted(w.content, w.text)
	return w.content[start:len(w.content):len(w.content)]
}

// json expands a template that is JSON.
func (w *renderer) json(s *session, template string) []byte {
	start := len(w.content)
	w.content = s.facts.expand(w.content, template)
	return w.content[start:len(w.content):len(w.content)]
}

func (w *renderer) expand(s *session, template string) string {
	w.text = s.facts.expand(w.text[:0], template)
	return string(w.text)
}

// hex returns so many random bytes in hexadecimal.
func (w *renderer) hex(bytes int) string {
	var random [16]byte
	binary.LittleEndian.PutUint64(random[:], w.rng.Uint64())
	binary.LittleEndian.PutUint64(random[8:], w.rng.Uint64())
	return hex.EncodeToString(random[:bytes])
}
