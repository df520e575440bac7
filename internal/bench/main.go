// Command bench measures what an event costs and prints one table. It runs the
// programs in bin/ as they are built for users, each in a process of its own, on
// this machine alone. Machines differ and are noisy: compare the figures of one run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// options are the sizes of a run.
type options struct {
	bin    string
	events int
	users  int
	known  int
	micro  bool
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "folder of the programs")
	flag.IntVar(&o.events, "events", 6_000_000, "events of the end-to-end runs; a minute at 100,000 a second")
	flag.IntVar(&o.users, "users", 10_000, "users whom they belong to")
	flag.IntVar(&o.known, "known", 1_000_000, "users of the run that measures memory; 0 leaves it out")
	flag.BoolVar(&o.micro, "micro", true, "also run the benchmarks of single steps")
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
	if o.micro {
		if err := steps(ctx, t); err != nil {
			return err
		}
	}
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
	return t.print(os.Stdout)
}
