package events

import (
	"bytes"
	"sync"
)

// checkers hold parsers for AppendJSON's check of its own result.
var checkers = sync.Pool{New: func() any { return new(checker) }}

type checker struct {
	parser Parser
	event  Event
}

// MarshalJSON returns the record as AppendJSON does. The receiver is a value, as encoding/json
// would pass over a pointer's method for a Record in an interface.
func (r Record) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil) }

// AppendJSON appends the record as compact JSON: members in a fixed order, attributes sorted.
// The parser accepts what it returns; otherwise dst is returned as it was, and an *Invalid says
// why. Safe for concurrent use as long as nobody changes the record.
func (r *Record) AppendJSON(dst []byte) ([]byte, error) {
	w := writer{buf: dst}
	w.record(r)
	if w.err != nil {
		return dst, w.err
	}
	c := checkers.Get().(*checker)
	defer checkers.Put(c)
	if err := c.parser.Parse(w.buf[len(dst):], &c.event); err != nil {
		return dst, err
	}
	// Content that closes its object and opens another would be valid JSON as a whole.
	if !bytes.Equal(c.event.Raw(FieldContentInput), trimSpace(r.Content.Input)) {
		return dst, &Invalid{Field: FieldContentInput.String(), Reason: reasonNotJSON}
	}
	if !bytes.Equal(c.event.Raw(FieldContentOutput), trimSpace(r.Content.Output)) {
		return dst, &Invalid{Field: FieldContentOutput.String(), Reason: reasonNotJSON}
	}
	return w.buf, nil
}

// record writes all members; what is absent is left for the check to name.
func (w *writer) record(r *Record) {
	w.buf = append(w.buf, '{')
	w.text(FieldSchema, Schema)
	w.id(FieldEventID, r.EventID)
	w.time(FieldTime, r.Time)
	w.text(FieldType, r.Type)
	w.text(FieldAction, r.Action)
	w.text(FieldOutcome, r.Outcome.String())
	w.text(FieldTenant, r.Tenant)
	w.text(FieldUserID, r.UserID)
	if r.Agent != (Agent{}) {
		w.open(FieldAgent)
		w.text(FieldAgentID, r.Agent.ID)
		w.text(FieldAgentName, r.Agent.Name)
		w.text(FieldAgentVersion, r.Agent.Version)
		w.close()
	}
	w.text(FieldSessionID, r.SessionID)
	w.text(FieldConversationID, r.ConversationID)
	w.text(FieldTraceID, r.TraceID)
	w.text(FieldSpanID, r.SpanID)
	if r.Tool != (Tool{}) {
		w.open(FieldTool)
		w.text(FieldToolName, r.Tool.Name)
		w.text(FieldToolCallID, r.Tool.CallID)
		w.close()
	}
	if r.Model != (Model{}) {
		w.open(FieldModel)
		w.text(FieldModelProvider, r.Model.Provider)
		w.text(FieldModelName, r.Model.Name)
		w.close()
	}
	if r.Usage != (Usage{}) {
		w.open(FieldUsage)
		w.count(FieldInputTokens, r.Usage.InputTokens)
		w.count(FieldOutputTokens, r.Usage.OutputTokens)
		w.cost(FieldCostUSD, r.Usage.CostUSD)
		w.close()
	}
	if r.Resource != (Resource{}) {
		w.open(FieldResource)
		w.text(FieldResourceType, r.Resource.Type)
		w.text(FieldResourceID, r.Resource.ID)
		w.close()
	}
	w.count(FieldRows, r.Rows)
	w.count(FieldDurationMS, r.DurationMS)
	if r.Error != (Error{}) {
		w.open(FieldError)
		w.text(FieldErrorType, r.Error.Type)
		w.text(FieldErrorMessage, r.Error.Message)
		w.close()
	}
	if r.Approval != (Approval{}) {
		w.open(FieldApproval)
		w.text(FieldApprovalRisk, r.Approval.Risk)
		w.text(FieldApprovalDecision, r.Approval.Decision)
		w.text(FieldApprovalApprover, r.Approval.Approver)
		w.text(FieldApprovalPolicy, r.Approval.Policy)
		w.close()
	}
	if r.Source != (Source{}) {
		w.open(FieldSource)
		w.text(FieldSourceIP, r.Source.IP)
		w.text(FieldSourceUserAgent, r.Source.UserAgent)
		w.close()
	}
	w.subjects(FieldDataSubjects, r.DataSubjects)
	if r.Producer != nil {
		w.open(FieldProducer)
		w.text(FieldProducerID, r.Producer.ID)
		w.count(FieldProducerSeq, &r.Producer.Seq)
		w.close()
	}
	w.attributes(FieldAttributes, r.Attributes)
	if len(r.Content.Input) > 0 || len(r.Content.Output) > 0 {
		w.open(FieldContent)
		w.raw(FieldContentInput, r.Content.Input)
		w.raw(FieldContentOutput, r.Content.Output)
		w.close()
	}
	w.close()
}

// trimSpace cuts off the white space of JSON.
func trimSpace(value []byte) []byte { return bytes.Trim(value, " \t\r\n") }
