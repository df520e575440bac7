package emit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// Bounds of a batch: large enough for good requests to each of some partitions.
const (
	batchRecords = 8192
	batchBytes   = 4 << 20
)

// batch is lines that are sent together. Its messages point into data, or into
// what data was before it grew.
type batch struct {
	data     []byte
	messages []kafkaio.Message
	first    int64 // number of the first line
	lines    int64
	refused  int64
	bytes    int // of values
	refusals []Refusal
}

func (b *batch) reset() {
	*b = batch{data: b.data[:0], messages: b.messages[:0]}
}

// full tells whether another line of a length is one too many.
func (b *batch) full(next int) bool {
	return len(b.messages) >= batchRecords || (len(b.messages) > 0 && len(b.data)+next > batchBytes)
}

// reader reads lines, checks them and makes batches.
type reader struct {
	in      *bufio.Reader
	invalid InvalidPolicy
	parser  *events.Parser
	event   events.Event
	number  int64 // of the last line read
	long    []byte
	scratch []byte
	tenant  []byte
}

func newReader(r io.Reader, invalid InvalidPolicy) *reader {
	return &reader{in: bufio.NewReaderSize(r, 256<<10), invalid: invalid, parser: events.NewParser()}
}

// errLong: a line exceeds MaxLineBytes; it was skipped.
var errLong = errors.New("line too long")

// line returns the next line without its end, valid until the next call; io.EOF
// at the end of the input.
func (r *reader) line() ([]byte, error) {
	r.number++
	line, err := r.in.ReadSlice('\n')
	if err == nil {
		return line[:len(line)-1], nil
	}
	r.long = append(r.long[:0], line...)
	tooLong := false
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = r.in.ReadSlice('\n')
		if tooLong = tooLong || len(r.long)+len(line) > MaxLineBytes+1; !tooLong {
			r.long = append(r.long, line...)
		}
	}
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, err
	case tooLong:
		return nil, errLong
	case err != nil && len(r.long) == 0:
		return nil, io.EOF
	}
	return bytes.TrimSuffix(r.long, []byte{'\n'}), nil
}

// fill reads to the end of the input.
func (r *reader) fill(ctx context.Context, empty <-chan *batch, filled chan<- *batch) error {
	var b *batch
	send := func() error {
		select {
		case filled <- b:
			b = nil
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		line, err := r.line()
		if errors.Is(err, io.EOF) {
			if b != nil {
				return send()
			}
			return nil
		}
		if err != nil && !errors.Is(err, errLong) {
			return fmt.Errorf("read line %d: %w", r.number, err)
		}
		if b != nil && b.full(len(line)) {
			if err := send(); err != nil {
				return err
			}
		}
		if b == nil {
			select {
			case b = <-empty:
				b.first = r.number
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if errors.Is(err, errLong) {
			b.lines++
			b.refuse(Refusal{r.number, "record", fmt.Sprintf("the line is longer than %d bytes", MaxLineBytes)})
			continue
		}
		r.add(b, line)
	}
}

// add checks a line and puts it into the batch.
func (r *reader) add(b *batch, line []byte) {
	if r.invalid == Refuse {
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(bytes.TrimSpace(line)) == 0 {
			return
		}
	}
	b.lines++
	err := r.parser.Parse(line, &r.event)
	if err == nil && r.event.Reserved() {
		err = &events.Invalid{Field: events.FieldType.String(), Reason: "belongs to a family that only agentaudit itself may use"}
	}
	if err != nil && r.invalid == Refuse {
		var invalid *events.Invalid
		if !errors.As(err, &invalid) {
			invalid = &events.Invalid{Field: "record", Reason: err.Error()}
		}
		b.refuse(Refusal{r.number, invalid.Field, invalid.Reason})
		return
	}
	var message kafkaio.Message
	if err == nil {
		tenant := r.event.Value(events.FieldTenant, r.tenant)
		user := r.event.Value(events.FieldUserID, r.scratch)
		start := len(b.data)
		b.data = events.Key(b.data, tenant, user)
		message.Key = b.data[start:len(b.data):len(b.data)]
	}
	start := len(b.data)
	b.data = append(b.data, line...)
	message.Value = b.data[start:len(b.data):len(b.data)]
	b.bytes += len(line)
	b.messages = append(b.messages, message)
}

func (b *batch) refuse(r Refusal) {
	b.refused++
	if len(b.refusals) < maxRefusals {
		b.refusals = append(b.refusals, r)
	}
}
