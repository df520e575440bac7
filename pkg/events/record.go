package events

import (
	"encoding/json"
	"time"
)

// Schema is the value of every record's "schema" member.
const Schema = "agentaudit.event/v1"

// Record is a wire event to be sent; docs/events.md says what each field means and what becomes
// of it. Zero values are left out, numbers that may be zero are pointers. AppendJSON and
// MarshalJSON refuse what the parser would refuse.
//
// Decoding JSON into a Record is for tools and tests only: encoding/json takes the last of two
// members of one name. Use Parser where the origin is not trusted.
type Record struct {
	EventID        UUID              `json:"event_id"` // required; NewUUID makes one
	Time           time.Time         `json:"time"`     // required; kept to the microsecond
	Type           string            `json:"type"`     // required; dotted lower case, such as "tool.call"
	Action         string            `json:"action"`   // required
	Outcome        Outcome           `json:"outcome"`  // required
	Tenant         string            `json:"tenant"`   // required; no slash
	UserID         string            `json:"user_id,omitempty"`
	Agent          Agent             `json:"agent,omitzero"`
	SessionID      string            `json:"session_id,omitempty"`
	ConversationID string            `json:"conversation_id,omitempty"`
	TraceID        string            `json:"trace_id,omitempty"`
	SpanID         string            `json:"span_id,omitempty"`
	Tool           Tool              `json:"tool,omitzero"`
	Model          Model             `json:"model,omitzero"`
	Usage          Usage             `json:"usage,omitzero"`
	Resource       Resource          `json:"resource,omitzero"`
	Rows           *uint64           `json:"rows,omitempty"`
	DurationMS     *uint64           `json:"duration_ms,omitempty"`
	Error          Error             `json:"error,omitzero"`
	Approval       Approval          `json:"approval,omitzero"`
	Source         Source            `json:"source,omitzero"`
	DataSubjects   []string          `json:"data_subjects,omitempty"` // user ids of other people, of the same tenant
	Producer       *Producer         `json:"producer,omitempty"`
	Attributes     map[string]string `json:"attributes,omitempty"` // public: no personal data
	Content        Content           `json:"content,omitzero"`
}

// Agent is the acting agent.
type Agent struct {
	ID      string `json:"id,omitempty"`
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
}

// Tool is the tool that was called.
type Tool struct {
	Name   string `json:"name,omitempty"`
	CallID string `json:"call_id,omitempty"`
}

// Model is the language model that was asked.
type Model struct {
	Provider string `json:"provider,omitempty"`
	Name     string `json:"name,omitempty"`
}

// Usage is what a model call consumed; nil is unknown.
type Usage struct {
	InputTokens  *uint64  `json:"input_tokens,omitempty"`
	OutputTokens *uint64  `json:"output_tokens,omitempty"`
	CostUSD      *float64 `json:"cost_usd,omitempty"`
}

// Resource is what was touched.
type Resource struct {
	Type string `json:"type,omitempty"`
	ID   string `json:"id,omitempty"` // becomes a token under the deployment's search key
}

// Error is what went wrong.
type Error struct {
	Type    string `json:"type,omitempty"`    // public, such as "timeout"
	Message string `json:"message,omitempty"` // sealed
}

// Approval is a person's or a policy's decision on an action.
type Approval struct {
	Risk     string `json:"risk,omitempty"`
	Decision string `json:"decision,omitempty"`
	Approver string `json:"approver,omitempty"` // an identity; becomes a pseudonym
	Policy   string `json:"policy,omitempty"`
}

// Source is where a request came from.
type Source struct {
	IP        string `json:"ip,omitempty"`         // becomes a token under the user's key
	UserAgent string `json:"user_agent,omitempty"` // sealed
}

// Producer numbers the events of one sending process, so that a loss before Kafka shows.
type Producer struct {
	ID  string `json:"id"`
	Seq uint64 `json:"seq"` // dense, from 0
}

// Content is free text or JSON, always sealed. Text makes one from a string.
type Content struct {
	Input  json.RawMessage `json:"input,omitempty"`
	Output json.RawMessage `json:"output,omitempty"`
}

// Text returns s as a JSON string for Content. Bytes that are not UTF-8 become U+FFFD.
func Text(s string) json.RawMessage { return appendQuoted(make([]byte, 0, len(s)+2), s) }
