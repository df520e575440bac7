package backtest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/agentaudit/agentaudit/internal/observe"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// Store is the part of store.Store that is read.
type Store interface {
	Logs(ctx context.Context) ([]string, error)
	Scan(ctx context.Context, log string, from uint64, fn func(seq uint64, entry []byte, leaf chain.Hash) error) error
}

// Stored plays the sealed events of a topic, merged by when Kafka took them, with the findings that were sealed with them. Fields are as they stand in entries:
// tokens are as good as values for telling whether two are the same, but rules that ask for the text of one do not hold, and where addresses are tokens no
// network is new, because it does not show which of them belong together. Memory is bounded by a page a log. done counts entries.
func Stored(ctx context.Context, cfg Config, from Store, topic string, done *atomic.Uint64) (*Result, error) {
	r, err := newRun(cfg)
	if err != nil {
		return nil, err
	}
	names, err := from.Logs(ctx)
	if err != nil {
		return nil, err
	}
	reader := entryReader{run: r, parser: events.NewParser(), filler: observe.New(observe.Key{})}
	var logs []*log
	for _, name := range names {
		of, _, _, err := chain.ParseLog(name)
		if err != nil {
			return nil, fmt.Errorf("log %q: %w", name, err)
		}
		if of == topic {
			logs = append(logs, &log{name: name, clock: noTime})
		}
	}
	for {
		var first *log
		for _, l := range logs {
			for len(l.page) == 0 && !l.ended {
				if err := l.read(ctx, from, r.from, done); err != nil {
					return nil, err
				}
			}
			if len(l.page) > 0 && (first == nil || l.page[0].at < first.page[0].at) {
				first = l
			}
		}
		if first == nil || first.page[0].at >= r.until { // every other one is as late
			return r.end()
		}
		if err := reader.play(first); err != nil {
			return nil, err
		}
		first.page = first.page[1:]
	}
}

// A page is this many events at most, about this many bytes, and found in this many entries: a query is bounded by a time.
const (
	pageEvents  = 8192
	pageBytes   = 4 << 20
	pageEntries = 1 << 20
)

// sealed is an event's entry. at is the latest time at which Kafka took one of the log up to it, which is what logs are merged by: within a log the order stays.
type sealed struct {
	at    int64
	entry []byte
}

// log is the way along one log.
type log struct {
	name  string
	next  uint64
	clock int64
	page  []sealed
	ended bool
}

var errPage = errors.New("the page is full")

// read reads the next events that were recorded at from or later.
func (l *log) read(ctx context.Context, store Store, from int64, done *atomic.Uint64) error {
	l.page = l.page[:0:0]
	bytes, entries := 0, 0
	var header chain.Header
	err := store.Scan(ctx, l.name, l.next, func(seq uint64, entry []byte, _ chain.Hash) error {
		if len(l.page) == pageEvents || bytes >= pageBytes || entries == pageEntries {
			return errPage
		}
		entries++
		if seq < l.next {
			return nil // stored twice: the first one counts, verify shows it
		}
		if _, err := chain.ParseHeader(entry, &header); err != nil {
			return fmt.Errorf("entry %d of %s: %w: run agentaudit verify", seq, l.name, err)
		}
		l.next = seq + 1
		done.Add(1)
		if header.Kind != chain.KindEvent {
			return nil
		}
		l.clock = max(l.clock, recorded(&header))
		if l.clock < from {
			return nil
		}
		l.page = append(l.page, sealed{l.clock, slices.Clone(entry)})
		bytes += len(entry)
		return nil
	})
	if errors.Is(err, errPage) {
		return nil
	}
	l.ended = err == nil
	return err
}

// recorded returns when Kafka took an event, in microseconds. A topic with CreateTime believes its producers, so it is bounded by when the event was sealed: one
// record that says 9999 must not make all others late.
func recorded(h *chain.Header) int64 {
	return max(0, min(h.Source.TimeMillis*1000, h.SealedMicros+minuteMicros))
}

// entryReader makes observations of entries.
type entryReader struct {
	run      *run
	entry    chain.Entry
	parser   *events.Parser
	event    events.Event
	filler   *observe.Filler
	wire     []byte
	findings []scan.Finding
	matches  []int
	ob       anomaly.Observation
}

func (e *entryReader) play(l *log) error {
	r, entry := e.run, &e.entry
	if err := chain.ParseEntry(l.page[0].entry, entry); err != nil {
		return fmt.Errorf("an entry of %s: %w: run agentaudit verify", l.name, err)
	}
	e.wire = appendWire(e.wire[:0], entry)
	if e.parser.Parse(e.wire, &e.event) != nil {
		// Sealed by a version that took what this one does not.
		r.summary.Rejected++
		return nil
	}
	if r.cfg.Tenant != "" && string(e.filler.Value(&e.event, events.FieldTenant)) != r.cfg.Tenant {
		return nil
	}
	e.filler.Fill(&e.ob, &e.event)
	ob := &e.ob
	ob.Recorded, ob.Subject = recorded(&entry.Header), entry.Subject
	e.findings = e.findings[:0]
	for _, name := range entry.Findings {
		if ofContent(name) {
			e.findings = append(e.findings, scan.Finding{Name: name})
		}
	}
	ob.Findings = e.findings
	ob.Threat, _ = scan.ParseThreat(entry.Threat) // none if there is none
	e.matches = r.matcher.Match(e.matches[:0], &e.event, e.findings, ob.Threat)
	ob.Matches = e.matches
	return r.observe(ob)
}

// ofContent tells findings of texts from those that ingest makes of records, which the detector does not see.
func ofContent(finding string) bool {
	return !strings.HasPrefix(finding, "kafka.") && !strings.HasPrefix(finding, "gdpr.")
}

// appendWire appends the entry's event as the parser reads it: with its schema, the pseudonym for the user and, if it stands in clear text, the address.
func appendWire(dst []byte, entry *chain.Entry) []byte {
	dst = append(dst, `{"schema":"agentaudit.event/v1",`...)
	if entry.HasSubject {
		dst = append(dst, `"user_id":"`...)
		dst = append(events.UUID(entry.Subject).AppendTo(dst), `",`...)
	}
	if _, err := netip.ParseAddr(string(entry.IP)); err == nil {
		dst = append(dst, `"source":{"ip":"`...)
		dst = append(append(dst, entry.IP...), `"},`...)
	}
	return append(dst, entry.Event[1:]...)
}
