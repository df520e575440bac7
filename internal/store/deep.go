package store

import (
	"context"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Stored is a row with all of its columns.
type Stored struct {
	Log                     string
	Seq                     uint64
	Epoch                   uint32
	Kind                    chain.Kind
	SealedAt                time.Time
	KafkaOffset, NextOffset int64
	RecordTime              time.Time
	Entry                   []byte
	Leaf                    chain.Hash
	Content                 []byte // nil if there is none
	ContentAlg              string
	ContentKey              []gdpr.KeyID
	Subject                 gdpr.SubjectID
	DataSubjects            []gdpr.SubjectID
	Approver                gdpr.SubjectID
	SessionID               string
	ConversationID          string
	IP                      string
	ResourceID              string
	Threat                  Threat
	Findings                []string
	EventID                 [16]byte
	Time                    time.Time
	Outcome                 events.Outcome
	Tenant                  string
	Type                    string
	Action                  string
	AgentID                 string
	AgentName               string
	AgentVersion            string
	TraceID                 string
	SpanID                  string
	Tool                    string
	ToolCallID              string
	Provider                string
	Model                   string
	InputTokens             uint64
	OutputTokens            uint64
	CostUSD                 float64
	DurationMS              uint64
	ResourceType            string
	Rows                    uint64
	ErrorType               string
	Risk                    string
	ApprovalDecision        string
	ApprovalPolicy          string
	ProducerID              string
	ProducerSeq             uint64
	Attributes              map[string]string
}

// ScanDeep is Scan with all columns. What fn is given is its own until it returns.
func (s *Store) ScanDeep(ctx context.Context, log string, from uint64, fn func(*Stored) error) error {
	d := newDeepColumns()
	var row Stored
	return s.scan(ctx, columnNames, log, from, sameColumns(d.results()), func(rows int) error {
		for i := range rows {
			d.read(i, &row)
			if err := fn(&row); err != nil {
				return err
			}
		}
		return nil
	})
}

// lowCardinality is a column of few different values, which are strings once a block.
type lowCardinality = proto.ColLowCardinality[string]

// deepColumns decode the columns of Stored.
type deepColumns struct {
	log, contentAlg, tenant, typ, action, agentID, agentName, agentVersion, tool, provider, model, resourceType, errorType, risk,
	approvalDecision, approvalPolicy, producerID *lowCardinality
	seq, inputTokens, outputTokens, durationMS, rows, producerSeq          proto.ColUInt64
	epoch                                                                  proto.ColUInt32
	kind, threat, outcome                                                  enum8
	sealedAt, recordTime, time                                             *proto.ColDateTime64
	kafkaOffset, nextOffset                                                proto.ColInt64
	entry, content                                                         bytesColumn
	leaf                                                                   proto.ColFixedStr32
	contentKey, dataSubjects                                               *proto.ColArr[uuid.UUID]
	subject, approver, eventID                                             proto.ColUUID
	sessionID, conversationID, ip, resourceID, traceID, spanID, toolCallID proto.ColStr
	findings                                                               *proto.ColArr[string]
	costUSD                                                                proto.ColFloat64
	attributes                                                             *proto.ColMap[string, string]
}

func newDeepColumns() *deepColumns {
	d := &deepColumns{
		sealedAt: new(proto.ColDateTime64).WithPrecision(proto.PrecisionMicro), time: new(proto.ColDateTime64).WithPrecision(proto.PrecisionMicro),
		recordTime: new(proto.ColDateTime64).WithPrecision(proto.PrecisionMilli),
		contentKey: proto.NewArray[uuid.UUID](new(proto.ColUUID)), dataSubjects: proto.NewArray[uuid.UUID](new(proto.ColUUID)),
		findings:   proto.NewArray[string](new(proto.ColStr).LowCardinality()),
		attributes: proto.NewMap[string, string](new(proto.ColStr), new(proto.ColStr)),
	}
	for _, c := range []**lowCardinality{
		&d.log, &d.contentAlg, &d.tenant, &d.typ, &d.action, &d.agentID, &d.agentName, &d.agentVersion, &d.tool, &d.provider, &d.model,
		&d.resourceType, &d.errorType, &d.risk, &d.approvalDecision, &d.approvalPolicy, &d.producerID,
	} {
		*c = new(proto.ColStr).LowCardinality()
	}
	return d
}

// results returns the columns in the order of described.
func (d *deepColumns) results() proto.Results {
	all := [numColumns]proto.ColResult{
		d.log, &d.seq, &d.epoch, &d.kind, d.sealedAt, &d.kafkaOffset, &d.nextOffset, d.recordTime,
		&d.entry, &d.leaf, &d.content, d.contentAlg, d.contentKey, &d.subject, d.dataSubjects, &d.approver,
		&d.sessionID, &d.conversationID, &d.ip, &d.resourceID, &d.threat, d.findings,
		&d.eventID, d.time, &d.outcome, d.tenant, d.typ, d.action, d.agentID, d.agentName, d.agentVersion,
		&d.traceID, &d.spanID, d.tool, &d.toolCallID, d.provider, d.model,
		&d.inputTokens, &d.outputTokens, &d.costUSD, &d.durationMS, d.resourceType, &d.rows, d.errorType,
		d.risk, d.approvalDecision, d.approvalPolicy, d.producerID, &d.producerSeq, d.attributes,
	}
	results := make(proto.Results, numColumns)
	for i := range all {
		results[i] = proto.ResultColumn{Name: described[i].name, Data: all[i]}
	}
	return results
}

// enum8 decodes an Enum8 column as numbers: its names are the table's own.
type enum8 struct{ proto.ColUInt8 }

// Type implements proto.ColResult: a type that agrees with every Enum8.
func (c *enum8) Type() proto.ColumnType { return proto.ColumnTypeEnum8 }

// read copies row i. Byte slices alias the block.
func (d *deepColumns) read(i int, to *Stored) {
	*to = Stored{
		Log: d.log.Row(i), Seq: d.seq[i], Epoch: d.epoch[i], Kind: chain.Kind(d.kind.Row(i)),
		SealedAt: d.sealedAt.Row(i), KafkaOffset: d.kafkaOffset[i], NextOffset: d.nextOffset[i], RecordTime: d.recordTime.Row(i),
		Entry: d.entry.row(i), Leaf: d.leaf[i], Content: d.content.row(i), ContentAlg: d.contentAlg.Row(i),
		ContentKey: ids[gdpr.KeyID](to.ContentKey[:0], d.contentKey.Row(i)), Subject: gdpr.SubjectID(d.subject[i]),
		DataSubjects: ids[gdpr.SubjectID](to.DataSubjects[:0], d.dataSubjects.Row(i)), Approver: gdpr.SubjectID(d.approver[i]),
		SessionID: d.sessionID.Row(i), ConversationID: d.conversationID.Row(i), IP: d.ip.Row(i), ResourceID: d.resourceID.Row(i),
		Threat: Threat(d.threat.Row(i)), Findings: d.findings.Row(i), EventID: d.eventID[i], Time: d.time.Row(i), Outcome: events.Outcome(d.outcome.Row(i)),
		Tenant: d.tenant.Row(i), Type: d.typ.Row(i), Action: d.action.Row(i),
		AgentID: d.agentID.Row(i), AgentName: d.agentName.Row(i), AgentVersion: d.agentVersion.Row(i), TraceID: d.traceID.Row(i), SpanID: d.spanID.Row(i),
		Tool: d.tool.Row(i), ToolCallID: d.toolCallID.Row(i), Provider: d.provider.Row(i), Model: d.model.Row(i),
		InputTokens: d.inputTokens[i], OutputTokens: d.outputTokens[i], CostUSD: d.costUSD[i], DurationMS: d.durationMS[i],
		ResourceType: d.resourceType.Row(i), Rows: d.rows[i], ErrorType: d.errorType.Row(i),
		Risk: d.risk.Row(i), ApprovalDecision: d.approvalDecision.Row(i), ApprovalPolicy: d.approvalPolicy.Row(i),
		ProducerID: d.producerID.Row(i), ProducerSeq: d.producerSeq[i], Attributes: d.attributes.Row(i),
	}
	if len(to.Content) == 0 {
		to.Content = nil
	}
}

func ids[T ~[16]byte](to []T, from []uuid.UUID) []T {
	for _, id := range from {
		to = append(to, T(id))
	}
	return to
}
