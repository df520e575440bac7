package store

import (
	"strings"

	"github.com/ClickHouse/ch-go/proto"
)

// columns are the columns of table `events`. docs/queries.md says what each holds.
type columns struct {
	log            names
	seq            fixed
	epoch          fixed
	kind           fixed
	sealedAt       fixed
	kafkaOffset    fixed
	nextOffset     fixed
	recordTime     fixed
	entry          text
	leafHash       fixed
	content        text
	contentAlg     names
	contentKey     uuids
	subject        fixed
	dataSubjects   uuids
	approver       fixed
	sessionID      text
	conversationID text
	ip             text
	resourceID     text
	threat         fixed
	findings       nameSets

	eventID          fixed
	time             fixed
	outcome          fixed
	tenant           names
	typ              names
	action           names
	agentID          names
	agentName        names
	agentVersion     names
	traceID          text
	spanID           text
	tool             names
	toolCallID       text
	provider         names
	model            names
	inputTokens      fixed
	outputTokens     fixed
	costUSD          fixed
	durationMS       fixed
	resourceType     names
	rowCount         fixed
	errorType        names
	risk             names
	approvalDecision names
	approvalPolicy   names
	producerID       names
	producerSeq      fixed
	attributes       pairs
}

const numColumns = 50

// description is a column's name and type, and both in the wire form that precedes
// the column in a block.
type description struct {
	name, typ string
	wire      []byte
}

// Types that several columns share.
const (
	typeNames  = "LowCardinality(String)"
	typeMicros = "DateTime64(6, 'UTC')"
	typeMillis = "DateTime64(3, 'UTC')"
	typeKind   = "Enum8('event' = 1, 'system' = 2, 'rejected' = 3, 'control' = 4)"
	typeEnded  = "Enum8('' = 0, 'success' = 1, 'failure' = 2, 'denied' = 3, 'blocked' = 4, 'pending' = 5)"
	typeThreat = "Enum8('none' = 0, 'low' = 1, 'medium' = 2, 'high' = 3, 'critical' = 4)"
)

// described are the columns in the order of the table, as its migration creates it.
var described = [numColumns]description{
	describe("log", typeNames),
	describe("seq", "UInt64"),
	describe("epoch", "UInt32"),
	describe("kind", typeKind),
	describe("sealed_at", typeMicros),
	describe("kafka_offset", "Int64"),
	describe("next_offset", "Int64"),
	describe("record_time", typeMillis),
	describe("entry", "String"),
	describe("leaf_hash", "FixedString(32)"),
	describe("content", "String"),
	describe("content_alg", typeNames),
	describe("content_key", "Array(UUID)"),
	describe("subject", "UUID"),
	describe("data_subjects", "Array(UUID)"),
	describe("approver", "UUID"),
	describe("session_id", "String"),
	describe("conversation_id", "String"),
	describe("ip", "String"),
	describe("resource_id", "String"),
	describe("threat", typeThreat),
	describe("findings", "Array(LowCardinality(String))"),
	describe("event_id", "UUID"),
	describe("time", typeMicros),
	describe("outcome", typeEnded),
	describe("tenant", typeNames),
	describe("type", typeNames),
	describe("action", typeNames),
	describe("agent_id", typeNames),
	describe("agent_name", typeNames),
	describe("agent_version", typeNames),
	describe("trace_id", "String"),
	describe("span_id", "String"),
	describe("tool", typeNames),
	describe("tool_call_id", "String"),
	describe("provider", typeNames),
	describe("model", typeNames),
	describe("input_tokens", "UInt64"),
	describe("output_tokens", "UInt64"),
	describe("cost_usd", "Float64"),
	describe("duration_ms", "UInt64"),
	describe("resource_type", typeNames),
	describe("rows", "UInt64"),
	describe("error_type", typeNames),
	describe("risk", typeNames),
	describe("approval_decision", typeNames),
	describe("approval_policy", typeNames),
	describe("producer_id", typeNames),
	describe("producer_seq", "UInt64"),
	describe("attributes", "Map(String, String)"),
}

func describe(name, typ string) description {
	var b proto.Buffer
	b.PutString(name)
	b.PutString(typ)
	return description{name: name, typ: typ, wire: b.Buf}
}

// columnNames is the list of all columns as it stands in SQL.
var columnNames = func() string {
	quoted := make([]string, numColumns)
	for i := range described {
		quoted[i] = described[i].name
	}
	return strings.Join(quoted, ", ")
}()

// list returns the columns in the order of described.
func (c *columns) list() [numColumns]column {
	return [numColumns]column{
		&c.log, &c.seq, &c.epoch, &c.kind, &c.sealedAt, &c.kafkaOffset, &c.nextOffset, &c.recordTime,
		&c.entry, &c.leafHash, &c.content, &c.contentAlg, &c.contentKey, &c.subject, &c.dataSubjects, &c.approver,
		&c.sessionID, &c.conversationID, &c.ip, &c.resourceID, &c.threat, &c.findings,
		&c.eventID, &c.time, &c.outcome, &c.tenant, &c.typ, &c.action, &c.agentID, &c.agentName, &c.agentVersion,
		&c.traceID, &c.spanID, &c.tool, &c.toolCallID, &c.provider, &c.model,
		&c.inputTokens, &c.outputTokens, &c.costUSD, &c.durationMS, &c.resourceType, &c.rowCount, &c.errorType,
		&c.risk, &c.approvalDecision, &c.approvalPolicy, &c.producerID, &c.producerSeq, &c.attributes,
	}
}

// init makes each column of the kind that its type needs.
func (c *columns) init() {
	for _, n := range []*names{
		&c.log, &c.contentAlg, &c.tenant, &c.typ, &c.action, &c.agentID, &c.agentName, &c.agentVersion, &c.tool, &c.provider,
		&c.model, &c.resourceType, &c.errorType, &c.risk, &c.approvalDecision, &c.approvalPolicy, &c.producerID,
	} {
		*n = newNames()
	}
	for _, f := range []*fixed{&c.kind, &c.threat, &c.outcome} {
		f.width = 1
	}
	c.epoch.width = 4
	for _, f := range []*fixed{
		&c.seq, &c.sealedAt, &c.kafkaOffset, &c.nextOffset, &c.recordTime, &c.time,
		&c.inputTokens, &c.outputTokens, &c.costUSD, &c.durationMS, &c.rowCount, &c.producerSeq,
	} {
		f.width = 8
	}
	for _, f := range []*fixed{&c.subject, &c.approver, &c.eventID} {
		f.width = 16
	}
	c.leafHash.width = 32
	c.contentKey, c.dataSubjects = newUUIDs(), newUUIDs()
	c.findings, c.attributes = newNameSets(), newPairs()
}
