package events

// Field names a member of the wire event, or the record itself.
type Field uint8

// The fields. The zero Field is the record itself. Fields that hold others (FieldAgent …
// FieldContent) have a raw JSON value and nothing else.
const (
	FieldRecord Field = iota

	FieldSchema
	FieldEventID
	FieldTime
	FieldType
	FieldAction
	FieldOutcome
	FieldTenant
	FieldUserID
	FieldAgentID
	FieldAgentName
	FieldAgentVersion
	FieldSessionID
	FieldConversationID
	FieldTraceID
	FieldSpanID
	FieldToolName
	FieldToolCallID
	FieldModelProvider
	FieldModelName
	FieldResourceType
	FieldResourceID
	FieldErrorType
	FieldErrorMessage
	FieldApprovalRisk
	FieldApprovalDecision
	FieldApprovalApprover
	FieldApprovalPolicy
	FieldSourceIP
	FieldSourceUserAgent
	FieldProducerID

	FieldInputTokens
	FieldOutputTokens
	FieldRows
	FieldDurationMS
	FieldProducerSeq
	FieldCostUSD

	FieldContentInput
	FieldContentOutput

	FieldAgent
	FieldTool
	FieldModel
	FieldUsage
	FieldResource
	FieldError
	FieldApproval
	FieldSource
	FieldProducer
	FieldContent
	FieldDataSubjects
	FieldAttributes

	// NumFields is the number of fields, the record itself included.
	NumFields
)

// Event.seen has a bit for each field.
const _ = uint64(1) << (NumFields - 1)

// kind is how a field's value is parsed.
type kind uint8

const (
	kindObject     kind = iota // an object of known fields
	kindLine                   // a string without control characters
	kindText                   // a string without NUL
	kindSchema                 // the schema's name
	kindUUID                   // event_id
	kindTime                   // RFC 3339
	kindType                   // dotted lower case
	kindOutcome                // one of five words
	kindTenant                 // a line without a slash
	kindCount                  // a non-negative whole number
	kindCost                   // a non-negative decimal number
	kindAny                    // any JSON value
	kindSubjects               // an array of identities
	kindAttributes             // an object of strings
)

// rules are what the parser checks beyond the kind, and where the value may go.
type rules uint8

const (
	required rules = 1 << iota // must be there
	nonEmpty                   // "" is refused; elsewhere it counts as absent
	public                     // may stand in the clear in an entry, so counts towards MaxPublicBytes
)

// fieldInfo is a row of the table below.
type fieldInfo struct {
	group Field  // the object that holds it; FieldRecord at the top level
	name  string // the member's name in that object
	path  string // for people: name, or group.name
	kind  kind
	rules rules
	limit int // bytes of the unescaped string; 0 is bounded by the record's size only
}

// fields is the one description of the record's shape: names, nesting, kinds and limits.
var fields = [NumFields]fieldInfo{
	FieldRecord: {FieldRecord, "", "record", kindObject, 0, 0},

	FieldSchema:  {FieldRecord, "schema", "schema", kindSchema, required | public, 0},
	FieldEventID: {FieldRecord, "event_id", "event_id", kindUUID, required | public, 0},
	FieldTime:    {FieldRecord, "time", "time", kindTime, required | public, 0},
	FieldType:    {FieldRecord, "type", "type", kindType, required | public | nonEmpty, maxTypeBytes},
	FieldAction:  {FieldRecord, "action", "action", kindLine, required | public | nonEmpty, maxNameBytes},
	FieldOutcome: {FieldRecord, "outcome", "outcome", kindOutcome, required | public, 0},
	FieldTenant:  {FieldRecord, "tenant", "tenant", kindTenant, required | public | nonEmpty, maxTenantBytes},
	// An empty user_id is a producer's bug that would pool strangers in one pseudonym; events
	// without a user leave it out.
	FieldUserID: {FieldRecord, "user_id", "user_id", kindLine, nonEmpty, maxIdentityBytes},

	FieldAgentID:          {FieldAgent, "id", "agent.id", kindLine, public, maxNameBytes},
	FieldAgentName:        {FieldAgent, "name", "agent.name", kindLine, public, maxNameBytes},
	FieldAgentVersion:     {FieldAgent, "version", "agent.version", kindLine, public, maxNameBytes},
	FieldSessionID:        {FieldRecord, "session_id", "session_id", kindLine, public, maxNameBytes},
	FieldConversationID:   {FieldRecord, "conversation_id", "conversation_id", kindLine, public, maxNameBytes},
	FieldTraceID:          {FieldRecord, "trace_id", "trace_id", kindLine, public, maxNameBytes},
	FieldSpanID:           {FieldRecord, "span_id", "span_id", kindLine, public, maxNameBytes},
	FieldToolName:         {FieldTool, "name", "tool.name", kindLine, public, maxNameBytes},
	FieldToolCallID:       {FieldTool, "call_id", "tool.call_id", kindLine, public, maxNameBytes},
	FieldModelProvider:    {FieldModel, "provider", "model.provider", kindLine, public, maxNameBytes},
	FieldModelName:        {FieldModel, "name", "model.name", kindLine, public, maxNameBytes},
	FieldResourceType:     {FieldResource, "type", "resource.type", kindLine, public, maxNameBytes},
	FieldResourceID:       {FieldResource, "id", "resource.id", kindLine, public, maxResourceIDBytes},
	FieldErrorType:        {FieldError, "type", "error.type", kindLine, public, maxNameBytes},
	FieldErrorMessage:     {FieldError, "message", "error.message", kindText, 0, 0},
	FieldApprovalRisk:     {FieldApproval, "risk", "approval.risk", kindLine, public, maxLevelBytes},
	FieldApprovalDecision: {FieldApproval, "decision", "approval.decision", kindLine, public, maxLevelBytes},
	FieldApprovalApprover: {FieldApproval, "approver", "approval.approver", kindLine, 0, maxIdentityBytes},
	FieldApprovalPolicy:   {FieldApproval, "policy", "approval.policy", kindLine, public, maxNameBytes},
	FieldSourceIP:         {FieldSource, "ip", "source.ip", kindLine, public, maxNameBytes},
	FieldSourceUserAgent:  {FieldSource, "user_agent", "source.user_agent", kindLine, 0, maxUserAgentBytes},
	FieldProducerID:       {FieldProducer, "id", "producer.id", kindLine, public, maxNameBytes},

	FieldInputTokens:  {FieldUsage, "input_tokens", "usage.input_tokens", kindCount, public, maxNumberBytes},
	FieldOutputTokens: {FieldUsage, "output_tokens", "usage.output_tokens", kindCount, public, maxNumberBytes},
	FieldRows:         {FieldRecord, "rows", "rows", kindCount, public, maxNumberBytes},
	FieldDurationMS:   {FieldRecord, "duration_ms", "duration_ms", kindCount, public, maxNumberBytes},
	FieldProducerSeq:  {FieldProducer, "seq", "producer.seq", kindCount, public, maxNumberBytes},
	FieldCostUSD:      {FieldUsage, "cost_usd", "usage.cost_usd", kindCost, public, maxNumberBytes},

	FieldContentInput:  {FieldContent, "input", "content.input", kindAny, 0, 0},
	FieldContentOutput: {FieldContent, "output", "content.output", kindAny, 0, 0},

	FieldAgent:        {FieldRecord, "agent", "agent", kindObject, 0, 0},
	FieldTool:         {FieldRecord, "tool", "tool", kindObject, 0, 0},
	FieldModel:        {FieldRecord, "model", "model", kindObject, 0, 0},
	FieldUsage:        {FieldRecord, "usage", "usage", kindObject, 0, 0},
	FieldResource:     {FieldRecord, "resource", "resource", kindObject, 0, 0},
	FieldError:        {FieldRecord, "error", "error", kindObject, 0, 0},
	FieldApproval:     {FieldRecord, "approval", "approval", kindObject, 0, 0},
	FieldSource:       {FieldRecord, "source", "source", kindObject, 0, 0},
	FieldProducer:     {FieldRecord, "producer", "producer", kindObject, 0, 0},
	FieldContent:      {FieldRecord, "content", "content", kindObject, 0, 0},
	FieldDataSubjects: {FieldRecord, "data_subjects", "data_subjects", kindSubjects, 0, maxIdentityBytes},
	FieldAttributes:   {FieldRecord, "attributes", "attributes", kindAttributes, public, 0},
}

// String returns the field's path, such as "agent.id"; "record" for the record itself.
func (f Field) String() string { return fields[f].path }

// Name returns the field's name within its object, such as "id"; "" for the record itself.
func (f Field) Name() string { return fields[f].name }

// Group returns the field that holds f, FieldRecord for the top level.
func (f Field) Group() Field { return fields[f].group }

// requiredFields has a bit for each required field.
var requiredFields = fieldsWith(required)

func fieldsWith(r rules) (set uint64) {
	for f, info := range fields {
		if info.rules&r != 0 {
			set |= 1 << f
		}
	}
	return set
}
