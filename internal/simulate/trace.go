package simulate

import (
	"encoding/binary"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// TraceResult is what came of real load.
type TraceResult struct {
	Requests, Events, UserDays int
	// Alerts are incidents that were not taken back; nothing is known to be wrong in the trace.
	Alerts, Withdrawn int
	Titles            []string
}

// request is a line of a trace.
type request struct {
	agent         string
	at            int64 // microseconds since the first
	input, output uint64
}

// readTrace reads the CSV files of a folder, with the columns time, context tokens and generated tokens; each file is an agent.
func readTrace(dir string) ([]request, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no trace in %s: %w", dir, os.ErrNotExist)
	}
	slices.Sort(files)
	var all []request
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		rows, err := csv.NewReader(f).ReadAll()
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		for i, row := range rows[1:] {
			if len(row) != 3 {
				return nil, fmt.Errorf("%s: line %d has %d columns, 3 expected", name, i+2, len(row))
			}
			at, err := time.Parse("2006-01-02 15:04:05.9999999", row[0])
			if err != nil {
				return nil, fmt.Errorf("%s: line %d: %w", name, i+2, err)
			}
			in, err1 := strconv.ParseUint(row[1], 10, 64)
			out, err2 := strconv.ParseUint(row[2], 10, 64)
			if err1 != nil || err2 != nil {
				return nil, fmt.Errorf("%s: line %d: no numbers", name, i+2)
			}
			base := filepath.Base(name)
			all = append(all, request{base[:len(base)-len(".csv")], at.UnixMicro(), in, out})
		}
	}
	slices.SortStableFunc(all, func(a, b request) int { return int(a.at - b.at) })
	for i := len(all) - 1; i >= 0; i-- {
		all[i].at -= all[0].at
	}
	return all, nil
}

// Trace plays an hour of real requests as working days: in each hour from 8 to 18 a part of the trace, dealt out to so many users whose shares differ by
// much. Sizes and the rhythm of arrivals are real, users are not: the trace has none.
func Trace(dir string, users, days int, seed uint64, cfg anomaly.Config) (*TraceResult, error) {
	requests, err := readTrace(dir)
	if err != nil {
		return nil, err
	}
	engine, err := anomaly.New(cfg)
	if err != nil {
		return nil, err
	}
	engine.Partitions([]int32{0})
	rng := rand.New(rand.NewPCG(seed, 1))
	weights := make([]float64, users)
	total := 0.0
	for i := range weights {
		total += lognormal(rng, 1, 1)
		weights[i] = total
	}
	r := &TraceResult{Requests: len(requests)}
	last := map[uuid.UUID]anomaly.Incident{}
	offset := int64(0)
	for d := range days {
		if d%7 >= 5 {
			continue
		}
		seen := map[int]bool{}
		for h := 8; h < 18; h++ {
			share := 0.1 + 0.2*rng.Float64()
			for i := range requests {
				if rng.Float64() >= share {
					continue
				}
				q := &requests[i]
				user, _ := slices.BinarySearch(weights, rng.Float64()*total)
				at := Start().UnixMicro() + int64(d)*day + int64(h)*hour + q.at
				o := anomaly.Observation{
					Offset: offset, Recorded: at, Time: at, Tenant: "trace", Type: "llm.call", Action: "chat", Outcome: events.Success, Agent: q.agent, Model: "model",
					InputTokens: q.input, OutputTokens: q.output, CostMicroUSD: q.input + 4*q.output, DurationMillis: 300 + 20*q.output,
				}
				binary.LittleEndian.PutUint64(o.Subject[:], uint64(user)+1)
				binary.LittleEndian.PutUint64(o.Event[:], rng.Uint64())
				offset++
				seen[user] = true
				engine.Observe(&o)
				for _, in := range engine.Take(nil) {
					last[in.ID] = in
				}
			}
		}
		r.UserDays += len(seen)
	}
	r.Events = int(offset)
	engine.Clock(0, Start().UnixMicro()+int64(days+1)*day)
	for _, in := range engine.Take(nil) {
		last[in.ID] = in
	}
	for _, in := range last {
		if in.Status == anomaly.Withdrawn {
			r.Withdrawn++
			continue
		}
		r.Alerts++
		r.Titles = append(r.Titles, fmt.Sprintf("%s %s %s", in.First.Format("02 15:04"), in.Severity, in.Title))
	}
	slices.Sort(r.Titles)
	return r, nil
}
