package store

import (
	"fmt"
	"math"

	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// Block holds the rows of one insert in the form in which they are sent. It belongs
// to one goroutine; Insert may read it until it has returned.
//
// All rows are of one log, in one epoch, dense in seq: an insert that spanned two
// epochs would be two parts to ClickHouse, each with a token of its own.
type Block struct {
	log   string
	epoch uint32
	first uint64
	cols  columns
	order [numColumns]column // of cols, as described
	n     int
	bytes int // of all columns: counted every recountRows rows, estimated from above since
	last  int // bytes of the last entry
	text  []byte
	head  buffer
	wire  [][]byte // what is sent, in order
}

// NewBlock returns an empty block.
func NewBlock() *Block {
	b := &Block{}
	b.cols.init()
	b.order = b.cols.list()
	return b
}

// rowBytes bounds what a row takes beyond the bytes of its strings and arrays: the
// fixed columns, the ends of arrays, lengths of strings, keys into dictionaries.
const rowBytes = 512

// maxSize is the most that r can add to the block. Public values of an event stand
// in its entry too, at least as long, so twice the entry covers them.
func (r *Row) maxSize() int {
	return rowBytes + 2*len(r.Entry) + len(r.Ciphertext) + 16*(len(r.Keys)+len(r.DataSubjects)+1)
}

// Append adds a row. It fails, and leaves the block as it was, if the row does not fit
// (ErrBlockFull) or does not continue the block: same log, same epoch, next seq.
func (b *Block) Append(r *Row) error {
	h := r.Header
	if b.n == 0 {
		b.log, b.epoch, b.first = h.Log, h.Epoch, h.Seq
	}
	if err := b.check(r); err != nil {
		return err
	}
	if b.n == MaxBlockRows || b.bytes+r.maxSize() > MaxBlockBytes {
		return ErrBlockFull
	}
	b.appendHeader(h)
	b.appendSealed(r)
	b.appendEvent(r)
	b.n++
	if b.bytes += r.maxSize(); b.n%recountRows == 0 {
		b.bytes = b.count()
	}
	return nil
}

// recountRows is how often the estimate of a block's size is replaced by the size
// itself: a count touches all columns, which is too much for each row.
const recountRows = 64

func (b *Block) count() int {
	n := 0
	for _, c := range b.order {
		n += c.size()
	}
	return n
}

// check refuses rows that would be stored but could not be trusted.
func (b *Block) check(r *Row) error {
	h := r.Header
	fail := func(reason string) error {
		return fmt.Errorf("row of %s at seq %d: %s", h.Log, h.Seq, reason)
	}
	switch {
	case h.Log == "" || h.Log != b.log:
		return fail("the block is of log " + b.log)
	case h.Epoch != b.epoch:
		return fail(fmt.Sprintf("epoch %d in a block of epoch %d", h.Epoch, b.epoch))
	case h.Seq != b.first+uint64(b.n):
		return fail(fmt.Sprintf("seq %d must follow", b.first+uint64(b.n)))
	case h.Kind < chain.KindEvent || h.Kind > chain.KindControl:
		return fail(h.Kind.String() + " is not known")
	case (r.Event != nil) != (h.Kind == chain.KindEvent || h.Kind == chain.KindSystem):
		return fail("an event belongs to kinds event and system, and to no other")
	case r.Threat > ThreatCritical:
		return fail("threat is not known")
	case len(r.Entry) == 0 || len(r.Entry) > chain.MaxEntryBytes:
		return fail(fmt.Sprintf("entry of %d bytes; 1 to %d are possible", len(r.Entry), chain.MaxEntryBytes))
	case (len(r.Ciphertext) == 0) != (r.Algorithm == "") || (len(r.Ciphertext) == 0) != (len(r.Keys) == 0):
		return fail("ciphertext, algorithm and keys go together")
	}
	return nil
}

func (b *Block) appendHeader(h *chain.Header) {
	c := &b.cols
	if b.n == 0 {
		b.text = append(b.text[:0], h.Log...)
		c.log.put(b.text)
	} else {
		c.log.repeat()
	}
	c.seq.put64(h.Seq)
	c.epoch.put32(h.Epoch)
	c.kind.put8(uint8(h.Kind))
	c.sealedAt.put64(uint64(h.SealedMicros))
	c.kafkaOffset.put64(uint64(h.Source.Offset))
	c.nextOffset.put64(uint64(h.Source.Next))
	c.recordTime.put64(uint64(clampMillis(h.Source.TimeMillis)))
}

func (b *Block) appendSealed(r *Row) {
	c := &b.cols
	c.entry.put(r.Entry)
	b.last = len(r.Entry)
	c.leafHash.putBytes(r.Leaf[:])
	c.content.put(r.Ciphertext)
	b.text = append(b.text[:0], r.Algorithm...)
	c.contentAlg.put(b.text)
	for i := range r.Keys {
		c.contentKey.item.putUUID(r.Keys[i])
	}
	c.contentKey.endRow()
	c.subject.putUUID(r.Subject)
	for i := range r.DataSubjects {
		c.dataSubjects.item.putUUID(r.DataSubjects[i])
	}
	c.dataSubjects.endRow()
	c.approver.putUUID(r.Approver)
	c.sessionID.put(r.SessionID)
	c.conversationID.put(r.ConversationID)
	c.ip.put(r.IP)
	c.resourceID.put(r.ResourceID)
	c.threat.put8(uint8(r.Threat))
	for _, finding := range r.Findings {
		b.text = append(b.text[:0], finding...)
		c.findings.item.put(b.text)
	}
	c.findings.endRow()
}

// noEvent stands for the event of rows that have none: every field is absent.
var noEvent events.Event

func (b *Block) appendEvent(r *Row) {
	c, e := &b.cols, r.Event
	if e == nil {
		e = &noEvent
	}
	c.eventID.putUUID(e.ID())
	c.time.put64(uint64(timeOf(r)))
	c.outcome.put8(uint8(e.Outcome()))
	b.name(&c.tenant, e, events.FieldTenant)
	b.name(&c.typ, e, events.FieldType)
	b.name(&c.action, e, events.FieldAction)
	b.name(&c.agentID, e, events.FieldAgentID)
	b.name(&c.agentName, e, events.FieldAgentName)
	b.name(&c.agentVersion, e, events.FieldAgentVersion)
	b.string(&c.traceID, e, events.FieldTraceID)
	b.string(&c.spanID, e, events.FieldSpanID)
	b.name(&c.tool, e, events.FieldToolName)
	b.string(&c.toolCallID, e, events.FieldToolCallID)
	b.name(&c.provider, e, events.FieldModelProvider)
	b.name(&c.model, e, events.FieldModelName)
	c.inputTokens.put64(e.Uint(events.FieldInputTokens))
	c.outputTokens.put64(e.Uint(events.FieldOutputTokens))
	c.costUSD.put64(math.Float64bits(e.CostUSD()))
	c.durationMS.put64(e.Uint(events.FieldDurationMS))
	b.name(&c.resourceType, e, events.FieldResourceType)
	c.rowCount.put64(e.Uint(events.FieldRows))
	b.name(&c.errorType, e, events.FieldErrorType)
	b.name(&c.risk, e, events.FieldApprovalRisk)
	b.name(&c.approvalDecision, e, events.FieldApprovalDecision)
	b.name(&c.approvalPolicy, e, events.FieldApprovalPolicy)
	b.name(&c.producerID, e, events.FieldProducerID)
	c.producerSeq.put64(e.Uint(events.FieldProducerSeq))
	if r.PublicAttributes {
		for i := range e.NumAttributes() {
			key, value := e.RawAttribute(i)
			b.text = events.AppendUnescaped(b.text[:0], key)
			c.attributes.key.put(b.text)
			b.text = events.AppendUnescaped(b.text[:0], value)
			c.attributes.value.put(b.text)
		}
	}
	c.attributes.endRow()
}

func (b *Block) name(c *names, e *events.Event, f events.Field) {
	v := e.Value(f, b.text)
	c.put(v)
}

func (b *Block) string(c *text, e *events.Event, f events.Field) {
	c.put(e.Value(f, b.text))
}

// timeOf is the column `time`: when it happened as far as is known.
func timeOf(r *Row) int64 {
	switch {
	case r.Event != nil:
		return r.Event.TimeMicros()
	case r.Header.Kind == chain.KindRejected:
		return clampMillis(r.Header.Source.TimeMillis) * 1000
	}
	return r.Header.SealedMicros
}

// DateTime64 goes from 1900 to 2299; a Kafka record may claim any time.
const (
	minMillis = -2_208_988_800_000
	maxMillis = 10_413_791_999_999
)

func clampMillis(millis int64) int64 { return min(max(millis, minMillis), maxMillis) }

// Log returns the log of the rows, "" if there are none.
func (b *Block) Log() string { return b.log }

// lastEntry is valid until the next Append or Reset.
func (b *Block) lastEntry() []byte {
	all := b.cols.entry.Buf
	return all[len(all)-b.last:]
}

// Rows returns the number of rows.
func (b *Block) Rows() int { return b.n }

// Bytes returns the size of the columns as they are sent, or up to twice the last
// rows' entries more.
func (b *Block) Bytes() int { return b.bytes }

// Reset empties the block and keeps its memory.
func (b *Block) Reset() {
	for _, c := range b.order {
		c.reset()
	}
	b.log, b.n, b.bytes = "", 0, 0
}

// finish returns what is to be sent: the block in Native format. It is valid until
// the next Append or Reset.
func (b *Block) finish() ([][]byte, error) {
	if b.n == 0 {
		return nil, fmt.Errorf("block of %s has no rows", b.log)
	}
	b.head.Reset()
	b.head.PutInt(numColumns)
	b.head.PutInt(b.n)
	b.wire = append(b.wire[:0], b.head.Buf)
	for i, c := range b.order {
		if c.rows() != b.n {
			return nil, fmt.Errorf("block of %s: column %s has %d rows, not %d", b.log, described[i].name, c.rows(), b.n)
		}
		c.finish()
		b.wire = append(b.wire, described[i].wire)
		b.wire = c.parts(b.wire)
	}
	return b.wire, nil
}
