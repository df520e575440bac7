package backtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"sync/atomic"
	"time"

	"github.com/agentaudit/agentaudit/internal/inspect"
	"github.com/agentaudit/agentaudit/internal/observe"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// Lines plays events as `emit` takes them, one a line; empty lines are skipped, and a line that is no event ends it with an error that has its number and
// nothing of what stands in it. An event counts as recorded at the latest time that any event up to it says, or now. Users stand under pseudonyms that are
// hashes, so whoever knows a user's name finds the incidents, and no vault is needed. done counts lines.
func Lines(ctx context.Context, cfg Config, scanner *scan.Scanner, in io.Reader, now time.Time, done *atomic.Uint64) (*Result, error) {
	r, err := newRun(cfg)
	if err != nil {
		return nil, err
	}
	var (
		lines     = bufio.NewScanner(in)
		parser    = events.NewParser()
		filler    = observe.New(observe.Key{})
		inspector = inspect.New(scanner)
		event     events.Event
		ob        anomaly.Observation
		matches   []int
		seed      = maphash.MakeSeed()
		number    int
		clock     = int64(noTime)
		latest    = now.UnixMicro() // an event from the far future must not make all others late
	)
	lines.Buffer(make([]byte, 0, 256<<10), events.MaxRecordBytes+2)
	for lines.Scan() {
		number++
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		line := bytes.TrimSuffix(lines.Bytes(), []byte{'\r'})
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		err := parser.Parse(line, &event)
		if err == nil && event.Reserved() {
			err = &events.Invalid{Field: events.FieldType.String(), Reason: "belongs to a family that only agentaudit itself may use"}
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		done.Add(1)
		clock = max(clock, min(event.TimeMicros(), latest))
		if clock < r.from || clock >= r.until {
			continue
		}
		tenant := filler.Value(&event, events.FieldTenant)
		if cfg.Tenant != "" && string(tenant) != cfg.Tenant {
			continue
		}
		filler.Fill(&ob, &event)
		ob.Recorded, ob.Digest = clock, maphash.Bytes(seed, line)
		if event.Has(events.FieldUserID) {
			ob.Subject = Pseudonym(tenant, filler.Value(&event, events.FieldUserID))
		}
		ob.Findings, ob.Threat = inspector.Inspect(&event)
		matches = r.matcher.Match(matches[:0], &event, ob.Findings, ob.Threat)
		ob.Matches = matches
		if err := r.observe(&ob); err != nil {
			return nil, err
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d is longer than %d bytes", number+1, events.MaxRecordBytes)
	case err != nil:
		return nil, fmt.Errorf("read line %d: %w", number+1, err)
	}
	return r.end()
}

// Pseudonym is what a user stands under in a backtest of a file: the beginning of the SHA-256 of tenant, NUL and user, as a UUID of version 8 (RFC 9562).
func Pseudonym(tenant, user []byte) [16]byte {
	text := make([]byte, 0, 256)
	text = append(append(append(text, tenant...), 0), user...)
	return events.HashedUUID(text)
}
