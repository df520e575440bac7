package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/sample"
)

// plan is one end-to-end run: records are put into Kafka first, then read, sealed
// and stored while the clock runs.
type plan struct {
	name       string
	events     int
	users      int
	everything bool // all processes of `agentaudit up`, instead of broker, ingest and engine
}

func (p plan) run(ctx context.Context, bin string, t *table) (err error) {
	dir, err := os.MkdirTemp("", "agentaudit-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fmt.Fprintf(os.Stderr, "%s: preparing …\n", p.name)
	f, err := newFolder(ctx, bin, filepath.Join(dir, "data"))
	if err != nil {
		return err
	}
	if err := p.preload(ctx, f); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: running …\n", p.name)
	if p.everything {
		return p.measureUp(ctx, f, t)
	}
	return p.measureParts(ctx, f, t)
}

func (f *folder) kafka() (*kafkaio.Client, error) { return process.OpenKafka(f.cfg, kafkaio.Deps{}) }

// preload puts the events into the topic.
func (p plan) preload(ctx context.Context, f *folder) (err error) {
	broker, err := f.startBroker(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.stop()) }()
	client, err := f.kafka()
	if err != nil {
		return err
	}
	defer client.Close()
	const producers, perRequest = 4, 4000
	group, ctx := errgroup.WithContext(ctx)
	for i := range producers {
		group.Go(func() error { // ends after its share
			events, err := sample.NewBench(uint64(i), p.users, time.Now().Add(-time.Hour))
			if err != nil {
				return err
			}
			for left := p.events / producers; left > 0; left -= perRequest {
				messages := make([]kafkaio.Message, min(left, perRequest))
				for j := range messages {
					messages[j].Value = events.AppendJSON(make([]byte, 0, 512))
					messages[j].Key = events.AppendKey(nil)
				}
				if err := client.Produce(ctx, f.cfg.Ingest.Topics.Events, messages); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// measureParts runs broker, engine and ingest alone.
func (p plan) measureParts(ctx context.Context, f *folder, t *table) (err error) {
	before := speed()
	parts := map[string]*running{}
	stop := func(r *running) func() { return func() { err = errors.Join(err, r.stop()) } }
	for _, part := range []struct {
		name  string
		start func(context.Context) (*running, error)
	}{
		{"broker", f.startBroker},
		{"engine", f.startEngine},
		{"ingest", func(ctx context.Context) (*running, error) { return f.startProcess(ctx, "ingest") }},
	} {
		r, err := part.start(ctx)
		if err != nil {
			return err
		}
		defer stop(r)()
		parts[part.name] = r
	}
	return p.watch(ctx, f, parts, before, t)
}

// measureUp runs `agentaudit up` over the same backlog.
func (p plan) measureUp(ctx context.Context, f *folder, t *table) (err error) {
	before := speed()
	up, err := f.start(ctx, "agentaudit", nil, "up", "--data", f.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, up.stop()) }()
	return p.watch(ctx, f, map[string]*running{"up": up}, before, t)
}

// watch waits until all events are stored and adds the figures. The clock starts
// with the first entry, so that joining the consumer group does not count.
func (p plan) watch(ctx context.Context, f *folder, parts map[string]*running, before float64, t *table) error {
	var began time.Time
	var first, stored int
	var ages []float64 // of seals, in seconds, the oldest of all logs each time
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for stored < p.events {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		for name, r := range parts {
			select {
			case <-r.done:
				return fmt.Errorf("%s ended: see %s", name, r.log)
			default:
			}
		}
		page, err := get(ctx, "http://"+f.cfg.HTTP.Ingest+"/metrics")
		if err != nil {
			continue // not up yet
		}
		stored = entries(string(page))
		if began.IsZero() && stored > 0 {
			began, first = time.Now(), stored
		}
		if p.everything && !began.IsZero() {
			if page, err := get(ctx, "http://"+f.cfg.HTTP.Exporter+"/metrics"); err == nil { // else it is not up yet
				ages = append(ages, sealAge(string(page), f.cfg.Ingest.Topics.Events))
			}
		}
	}
	took := time.Since(began)
	t.add(p.name, fmt.Sprintf("%.0f events/s", float64(stored-first)/took.Seconds()), fmt.Sprintf("%d events in %.1f s", stored-first, took.Seconds()))
	if len(ages) > 0 {
		slices.Sort(ages)
		t.add("  age of seals meanwhile", fmt.Sprintf("at most %.2f s, median %.2f s", ages[len(ages)-1], ages[len(ages)/2]), fmt.Sprintf("the oldest of all partitions, sampled %d times", len(ages)))
	}
	for _, name := range []string{"ingest", "engine", "broker"} {
		r, ok := parts[name]
		if !ok {
			continue
		}
		used, err := cpu(r.pid())
		if err != nil {
			return err
		}
		peak, err := peakMemory(r.pid())
		if err != nil {
			return err
		}
		perMillion := used.Seconds() / (float64(stored) / 1e6)
		t.add("  "+name, fmt.Sprintf("%.2f s CPU per million", perMillion), fmt.Sprintf("peak memory %d MB", peak>>20))
	}
	t.add("", "", speedNote(before, speed()))
	return nil
}

// entries reads the count of stored events from ingest's metrics.
func entries(page string) int {
	for line := range strings.Lines(page) {
		if rest, found := strings.CutPrefix(line, `agentaudit_ingest_entries_total{kind="event"} `); found {
			n, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				return 0
			}
			return int(n)
		}
	}
	return 0
}

// sealAge reads the greatest age of the seals of a topic's logs from the exporter's metrics.
func sealAge(page, topic string) (oldest float64) {
	for line := range strings.Lines(page) {
		rest, found := strings.CutPrefix(line, `agentaudit_seal_age_seconds{log="`+topic+`/`)
		_, value, ended := strings.Cut(rest, `"} `)
		if !found || !ended {
			continue
		}
		if age, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
			oldest = max(oldest, age)
		}
	}
	return oldest
}
