package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// storedLog is a log of no topic, made by logMaker, so that nobody writes it but us.
const storedLog = "bench.events/0"

// measureStored puts a log of so many entries into ClickHouse and measures how it is
// sealed, proven and verified.
func measureStored(ctx context.Context, bin string, entries uint64, t *table) (err error) {
	dir, err := os.MkdirTemp("", "agentaudit-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fmt.Fprintf(os.Stderr, "a stored log of %d entries: preparing …\n", entries)
	f, err := newFolder(ctx, bin, filepath.Join(dir, "data"))
	if err != nil {
		return err
	}
	var engine *running
	for _, start := range []func(context.Context) (*running, error){f.startBroker, f.startEngine} {
		part, err := start(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, part.stop()) }()
		engine = part
	}
	systems, err := process.Open(ctx, f.cfg, kafkaio.Deps{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, systems.Close()) }()
	s := stored{folder: f, systems: systems, engine: engine, entries: entries, table: t}
	before := speed()
	if err := s.load(ctx); err != nil {
		return err
	}
	t.add(fmt.Sprintf("a stored log of %d entries", entries), "", "embedded engine; load "+load())
	for _, measure := range []func(context.Context) error{s.sealAndProve, s.verify} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	t.add("", "", speedNote(before, speed()))
	return nil
}

// stored is the log and where it is.
type stored struct {
	folder  *folder
	systems *process.Systems
	engine  *running
	entries uint64
	table   *table
}

// rowsPerInsert is a middling insert, as ingest makes under load.
const rowsPerInsert = 50_000

// load inserts the log; the next block is made while one is on its way.
func (s *stored) load(ctx context.Context) error {
	writer, err := s.systems.Store.OpenWriter(ctx, storedLog)
	if err != nil {
		return err
	}
	defer writer.Close()
	type full struct {
		block *store.Block
		token string
	}
	free, out := make(chan *store.Block, 2), make(chan full)
	for range cap(free) {
		free <- store.NewBlock()
	}
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error { // ends with the log or ctx
		defer close(out)
		return s.fill(inner, free, func(b *store.Block, token string) error {
			select {
			case out <- full{b, token}:
				return nil
			case <-inner.Done():
				return context.Cause(inner)
			}
		})
	})
	group.Go(func() error { // ends with out
		for one := range out {
			if err := writer.Insert(inner, one.token, one.block); err != nil {
				return err
			}
			one.block.Reset()
			free <- one.block
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return s.quiet(ctx)
}

// fill makes the blocks: entry 0 alone, since it stands in an epoch of its own, then the events.
func (s *stored) fill(ctx context.Context, free <-chan *store.Block, full func(b *store.Block, token string) error) error {
	m := newLogMaker(storedLog)
	if err := m.open(s.folder.cfg.Deployment); err != nil {
		return err
	}
	token := chain.EmptyHead(storedLog).Token(0)
	first := <-free
	if err := first.Append(&store.Row{Header: &m.header, Leaf: m.leaf, Entry: m.entry}); err != nil {
		return err
	}
	if err := full(first, token); err != nil {
		return err
	}
	parser, record := events.NewParser(), []byte(nil)
	for left := s.entries - 1; left > 0; {
		head, err := chain.HeadOf(m.entry)
		if err != nil {
			return err
		}
		var block *store.Block
		select {
		case block = <-free:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for n := min(left, rowsPerInsert); n > 0; n, left = n-1, left-1 {
			m.event()
			// The public part of an event is an event, but for the schema's name.
			record = append(record[:0], `{"schema":"`+events.Schema+`",`...)
			record = append(record, m.object[1:]...)
			var event events.Event
			if err := parser.Parse(record, &event); err != nil {
				return err
			}
			if err := block.Append(&store.Row{Header: &m.header, Leaf: m.leaf, Entry: m.entry, Event: &event, Subject: m.person}); err != nil {
				return err
			}
		}
		if err := full(block, head.Token(0)); err != nil {
			return err
		}
	}
	return nil
}

// quietWithin bounds the wait for merges. They would go on for longer with other logs beside this one.
const quietWithin = 2 * time.Minute

// quiet waits until the engine has merged what there is to merge.
func (s *stored) quiet(ctx context.Context) error {
	deadline := time.Now().Add(quietWithin)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for still := 0; still < 4 && time.Now().Before(deadline); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		merges, err := s.count(ctx, "SELECT count() FROM system.merges")
		if err != nil {
			return err
		}
		if still++; merges > 0 {
			still = 0
		}
	}
	return nil
}

func (s *stored) count(ctx context.Context, sql string) (uint64, error) {
	var out bytes.Buffer
	if err := s.systems.Store.Query(ctx, sql, "TabSeparated", &out); err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(out.String()), 10, 64)
}

// sealAndProve starts an exporter, which has the whole log to seal, and asks it for proofs when it has done so.
func (s *stored) sealAndProve(ctx context.Context) (err error) {
	exporter, err := s.folder.startProcess(ctx, "exporter")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, exporter.stop()) }()
	fmt.Fprintln(os.Stderr, "sealing …")
	if err := s.seal(ctx, exporter); err != nil {
		return err
	}
	return s.prove(ctx)
}

// seal waits until the checkpoint covers all. The clock starts with its first move, so that starting the process does not count.
func (s *stored) seal(ctx context.Context, exporter *running) error {
	var began, sealed time.Time
	first := uint64(0)
	size := func() (uint64, error) {
		checkpoint, _, err := s.systems.Vault.Checkpoint(ctx, storedLog)
		return checkpoint.Size, err
	}
	var failed error
	err := s.folder.await(ctx, exporter, "the log is sealed", func() bool {
		covered, err := size()
		if failed = err; err != nil {
			return true
		}
		if began.IsZero() && covered > 0 {
			began, first = time.Now(), covered
		}
		sealed = time.Now()
		return covered == s.entries
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	used, err := cpu(exporter.pid())
	if err != nil {
		return err
	}
	took := sealed.Sub(began)
	s.table.add("  sealing from its beginning", fmt.Sprintf("%.0f entries/s", float64(s.entries-first)/took.Seconds()),
		fmt.Sprintf("%d entries in %.1f s; %.2f s CPU of the exporter per million", s.entries-first, took.Seconds(), used.Seconds()/(float64(s.entries)/1e6)))
	return nil
}
