// Command bench measures what an event costs and prints one table. It runs the
// programs in bin/ as they are built for users, each in a process of its own, on
// this machine alone. Machines differ and are noisy: compare the figures of one run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// options are the sizes of a run.
type options struct {
	bin    string
	events int
	users  int
	known  int
	folder uint64
	stored uint64
	person uint64
	alerts int
	parts  string
}

// Parts of a run, as -parts names them.
const (
	partSteps    = "steps"
	partEndToEnd = "endtoend"
	partFolder   = "folder"
	partStored   = "stored"
	partErasure  = "erasure"
	// partDetection is what is found in texts, what the detector does with an event, and what it remembers.
	partDetection = "detection"
)

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "folder of the programs")
	flag.IntVar(&o.events, "events", 6_000_000, "events of the end-to-end runs; a minute at 100,000 a second")
	flag.IntVar(&o.users, "users", 10_000, "users whom they belong to")
	flag.IntVar(&o.known, "known", 1_000_000, "users of the run that measures memory; 0 leaves it out")
	flag.Uint64Var(&o.folder, "folder", 10_000_000, "entries of the exported folder that is verified, 530 bytes each; a tenth of them is verified too")
	flag.Uint64Var(&o.stored, "stored", 10_000_000, "entries of the log in ClickHouse that is sealed, proven and verified")
	flag.Uint64Var(&o.person, "person", 10_000_000, "events of each of the people who are erased, beside people of 1,000")
	flag.IntVar(&o.alerts, "alerts", 60, "incidents whose way to Slack is measured, one each 2.5 seconds")
	flag.StringVar(&o.parts, "parts", strings.Join([]string{partSteps, partFolder, partStored, partErasure, partDetection, partEndToEnd}, ","), "what is measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	t := &table{}
	for part := range strings.SplitSeq(o.parts, ",") {
		var err error
		switch part {
		case partSteps:
			err = steps(ctx, t)
		case partFolder:
			err = errors.Join(verifyFolder(ctx, o.bin, o.folder/10, t), verifyFolder(ctx, o.bin, o.folder, t))
		case partStored:
			err = measureStored(ctx, o.bin, o.stored, t)
		case partErasure:
			err = measureErasure(ctx, o.bin, o.person, t)
		case partDetection:
			err = errors.Join(detection(ctx, t), eventToSlack(ctx, o.bin, o.alerts, t))
		case partEndToEnd:
			err = endToEnd(ctx, o, t)
		default:
			err = errors.New("there is no such part")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	return t.print(os.Stdout)
}

func endToEnd(ctx context.Context, o options, t *table) error {
	plans := []plan{
		{name: "broker, ingest, engine", events: o.events, users: o.users},
		{name: "everything that `up` runs", events: o.events, users: o.users, everything: true},
	}
	if o.known > 0 {
		plans = append(plans, plan{name: fmt.Sprintf("%d known subjects", o.known), events: 2 * o.known, users: o.known})
	}
	for _, p := range plans {
		if err := p.run(ctx, o.bin, t); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}
