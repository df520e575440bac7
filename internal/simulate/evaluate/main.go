// Command evaluate lets the detector watch simulated weeks with known incidents, and prints what it found, what it missed and whom it would have woken for
// nothing, beside the textbook detector on the same events.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/agentaudit/agentaudit/internal/simulate"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

func main() {
	cfg, engine := simulate.DefaultConfig(), anomaly.DefaultConfig()
	seeds := flag.String("seeds", "1", "seeds, separated by commas")
	verbose := flag.Bool("v", false, "print each incident and each false alert")
	flag.IntVar(&cfg.Users, "users", cfg.Users, "users")
	flag.IntVar(&cfg.Days, "days", cfg.Days, "days")
	flag.IntVar(&cfg.Incidents, "incidents", cfg.Incidents, "incidents")
	flag.Float64Var(&engine.Threshold, "threshold", engine.Threshold, "surprise that alerts")
	flag.Float64Var(&engine.Least, "least", engine.Least, "least sum of evidence")
	flag.IntVar(&engine.MaxFollowed, "followed", engine.MaxFollowed, "users, agents and tenants that have series of their own; 0: none")
	trace := flag.String("trace", "", "folder with a trace of real requests; count false alerts on it, instead of simulating")
	wire := flag.Bool("wire", false, "write the events as JSON lines in the wire format, instead of evaluating")
	flag.Parse()
	if *trace != "" {
		if err := replay(*trace, engine); err != nil {
			fmt.Fprintln(os.Stderr, "evaluate:", err)
			os.Exit(2)
		}
		return
	}
	for _, text := range strings.Split(*seeds, ",") {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err == nil {
			cfg.Seed = seed
			if *wire {
				err = write(cfg)
			} else {
				err = run(cfg, engine, *verbose)
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "evaluate:", err)
			os.Exit(2)
		}
	}
}

func run(cfg simulate.Config, engine anomaly.Config, verbose bool) error {
	world, err := simulate.New(cfg)
	if err != nil {
		return err
	}
	r, err := simulate.Evaluate(world, engine)
	if err != nil {
		return err
	}
	fmt.Printf("seed %d: %d users, %d days, %d events, %d user-days from day %d on\n", cfg.Seed, cfg.Users, cfg.Days, r.Events, r.UserDays, cfg.Quiet)
	fmt.Printf("  detector: %d of %d incidents alerted; %d false alerts, %.4f a user-day; %d withdrawn\n",
		r.Found(), len(r.Outcomes), r.False, r.FalsePerUserDay(), r.Withdrawn)
	fmt.Printf("  textbook: %d of %d incidents alerted; %d false alerts, %.4f a user-day (%.4f with one alert a user and hour)\n",
		r.TextbookFound(), len(r.Outcomes), r.TextbookFalse, float64(r.TextbookFalse)/float64(r.UserDays), float64(r.TextbookFalseHours)/float64(r.UserDays))
	for _, kind := range simulate.Kinds() {
		n, found, worst, cost, book := 0, 0, time.Duration(0), 0.0, 0
		for i := range r.Outcomes {
			o := &r.Outcomes[i]
			if o.Label.Kind != kind {
				continue
			}
			n++
			if o.Found {
				found++
				worst, cost = max(worst, o.After), max(cost, o.Cost)
			}
			if o.Textbook {
				book++
			}
		}
		if n > 0 {
			fmt.Printf("  %-28s %d of %d, at the latest after %9s, at a cost of up to %8.2f USD; textbook %d\n", kind, found, n, worst.Round(100*time.Millisecond), cost, book)
		}
	}
	if !verbose {
		return nil
	}
	for i := range r.Outcomes {
		o := &r.Outcomes[i]
		fmt.Printf("  %t %-28s %s %s after %s, %.2f USD, %s: %s\n", o.Found, o.Label.Kind, o.Label.Tenant, time.UnixMicro(o.Label.From).UTC().Format("02 15:04"),
			o.After.Round(time.Second), o.Cost, o.Severity, o.Title)
	}
	for _, title := range r.FalseTitles {
		fmt.Println("  false:", title)
	}
	return nil
}

// write prints a world's events as agents would send them.
func write(cfg simulate.Config) error {
	world, err := simulate.New(cfg)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	for d := range world.Days() {
		if err := world.WriteWire(out, d); err != nil {
			return err
		}
	}
	return out.Flush()
}

func replay(dir string, engine anomaly.Config) error {
	r, err := simulate.Trace(dir, 200, 14, 1, engine)
	if err != nil {
		return err
	}
	fmt.Printf("trace: %d requests as %d events of %d user-days: %d alerts, %.4f a user-day; %d withdrawn\n", r.Requests, r.Events, r.UserDays, r.Alerts,
		float64(r.Alerts)/float64(r.UserDays), r.Withdrawn)
	for _, title := range r.Titles {
		fmt.Println("  ", title)
	}
	return nil
}
