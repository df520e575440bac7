// Package emit sends JSON Lines of wire events to Kafka: what "agentaudit emit" does.
package emit

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
)

// Config is where and how lines are sent.
type Config struct {
	Kafka *kafkaio.Client
	Topic string
	// What becomes of lines that are not valid events.
	Invalid InvalidPolicy
	// Progress is called after each batch that Kafka acknowledged, from one
	// goroutine; nil for never.
	Progress func(Result)
}

// InvalidPolicy is what becomes of lines that the parser refuses.
type InvalidPolicy uint8

const (
	// Refuse reports them and does not send them.
	Refuse InvalidPolicy = iota
	// SendRaw sends every line as it is, empty ones too: ingest seals what is no
	// event as rejected. Only lines longer than MaxLineBytes are refused.
	SendRaw
)

// MaxLineBytes is the longest line that is read. Longer than any event, so that
// SendRaw can show what becomes of a record that is too large, where the topic
// allows it.
const MaxLineBytes = kafkaio.MaxDeliveredBytes

// Result is what became of the lines so far.
type Result struct {
	Lines   int64 // read, with a record in them
	Sent    int64 // acknowledged by all replicas
	Refused int64
	Bytes   int64 // sent
	// Refusals are the first of the refused lines, at most maxRefusals.
	Refusals []Refusal
}

// maxRefusals bounds what Result keeps: a file of the wrong kind refuses every
// line for one reason.
const maxRefusals = 100

// Refusal is why a line was not sent. It quotes nothing of the line.
type Refusal struct {
	Line   int64  `json:"line"` // from 1
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// String returns "line 3: user_id: missing".
func (r Refusal) String() string { return fmt.Sprintf("line %d: %s: %s", r.Line, r.Field, r.Reason) }

// Lines sends each line of r as a record with the key tenant/user_id, and returns
// when Kafka has them all. The lines of a user stay in order. Memory is bounded
// whatever the length of the input.
//
// If it fails, Result says how many of the first lines are acknowledged; some of
// those after them may be in Kafka too. Sending the input again is safe: its event
// ids are the same.
func Lines(ctx context.Context, r io.Reader, cfg Config) (Result, error) {
	var done Result
	filled := make(chan *batch, 1)
	empty := make(chan *batch, 3) // one is read into, one waits, one is sent
	for range cap(empty) {
		empty <- new(batch)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { // ends with the input or ctx
		defer close(filled)
		return newReader(r, cfg.Invalid).fill(ctx, empty, filled)
	})
	group.Go(func() error { // ends with the input, a failure, or ctx
		for b := range filled {
			if err := cfg.Kafka.Produce(ctx, cfg.Topic, b.messages); err != nil {
				return fmt.Errorf("send the lines after line %d to %s: %w", b.first-1, cfg.Topic, err)
			}
			done.add(b)
			if cfg.Progress != nil {
				cfg.Progress(done)
			}
			b.reset()
			empty <- b
		}
		return nil
	})
	err := group.Wait()
	if err != nil && errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = fmt.Errorf("interrupted after %d records: %w", done.Sent, err)
	}
	return done, err
}

// add counts a batch that was sent.
func (r *Result) add(b *batch) {
	r.Lines += b.lines
	r.Sent += int64(len(b.messages))
	r.Refused += b.refused
	r.Bytes += int64(b.bytes)
	room := maxRefusals - len(r.Refusals)
	r.Refusals = append(r.Refusals, b.refusals[:min(room, len(b.refusals))]...)
}
