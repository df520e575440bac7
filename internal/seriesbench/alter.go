package main

import (
	"math"
	"math/rand/v2"
	"sort"
)

// alteration makes other series of labelled ones: what a detector does well on by chance, it does worse on these.
type alteration struct {
	name string
	make func(*labelled) *labelled
}

// alterations are deterministic.
func alterations() []alteration {
	return []alteration{
		{"as it is", func(s *labelled) *labelled { return s }},
		{"first 1/12 dropped", func(s *labelled) *labelled { return keep(s, func(i int) bool { return i >= len(s.times)/12 }) }},
		{"3/5 of rows, seed 1", thinned(1)},
		{"3/5 of rows, seed 2", thinned(2)},
		{"3/5 of rows, seed 3", thinned(3)},
		{"3/5: rows 0,2,4 of 5", func(s *labelled) *labelled { return keep(s, func(i int) bool { return i%5%2 == 0 }) }},
		{"3/5: rows 0,1,2 of 5", func(s *labelled) *labelled { return keep(s, func(i int) bool { return i%5 < 3 }) }},
		{"1/2 of rows", func(s *labelled) *labelled { return keep(s, func(i int) bool { return i%2 == 0 }) }},
		{"first 1/5 dropped", func(s *labelled) *labelled { return keep(s, func(i int) bool { return i >= len(s.times)/5 }) }},
		{"upside down", valued(func(_ *rand.Rand, x, _ float64) float64 { return -x })},
		{"logarithm", valued(func(_ *rand.Rand, x, _ float64) float64 { return math.Copysign(math.Log1p(math.Abs(x)), x) })},
		{"noise of 0.2 deviations", valued(func(r *rand.Rand, x, d float64) float64 { return x + 0.2*d*r.NormFloat64() })},
		{"rounded to 0.2 deviations", valued(func(_ *rand.Rand, x, d float64) float64 {
			if d == 0 {
				return x
			}
			return math.Round(x/(0.2*d)) * 0.2 * d
		})},
		{"7 hours later", timed(func(t, _ int64) int64 { return t + 7*3600 })},
		{"time × 1.7", timed(func(t, first int64) int64 { return first + (t-first)*17/10 })},
		{"backwards", backwards},
	}
}

func keep(s *labelled, which func(int) bool) *labelled {
	out := newLabelled(s.name)
	at := make([]int, len(s.times)+1) // rows kept before row i
	for i := range s.times {
		at[i+1] = at[i]
		if which(i) {
			out.times = append(out.times, s.times[i])
			out.values = append(out.values, s.values[i])
			at[i+1]++
		}
	}
	for _, w := range s.windows {
		if from, to := at[w[0]], at[w[1]+1]-1; to > from {
			out.windows = append(out.windows, [2]int{from, to})
		}
	}
	return out
}

func thinned(seed uint64) func(*labelled) *labelled {
	return func(s *labelled) *labelled {
		r := rand.New(rand.NewPCG(seed, uint64(len(s.times))))
		return keep(s, func(int) bool { return r.Float64() < 0.6 })
	}
}

func valued(f func(r *rand.Rand, x, deviation float64) float64) func(*labelled) *labelled {
	return func(s *labelled) *labelled {
		out := newLabelled(s.name)
		out.times, out.values, out.windows = s.times, s.values, s.windows
		r := rand.New(rand.NewPCG(4, uint64(len(s.times))))
		sorted := append([]float64(nil), s.values...)
		sort.Float64s(sorted)
		d := (sorted[len(sorted)*84/100] - sorted[len(sorted)*16/100]) / 2
		out.values = make([]float64, len(s.values))
		for i, x := range s.values {
			out.values[i] = f(r, x, d)
		}
		return out
	}
}

func timed(f func(t, first int64) int64) func(*labelled) *labelled {
	return func(s *labelled) *labelled {
		out := newLabelled(s.name)
		out.times, out.values, out.windows = s.times, s.values, s.windows
		out.times = make([]int64, len(s.times))
		for i, t := range s.times {
			out.times[i] = f(t, s.times[0])
		}
		return out
	}
}

func backwards(s *labelled) *labelled {
	n := len(s.times)
	out := newLabelled(s.name)
	for i := range s.times {
		out.times = append(out.times, s.times[0]+s.times[n-1]-s.times[n-1-i])
		out.values = append(out.values, s.values[n-1-i])
	}
	for i := range s.windows {
		w := s.windows[len(s.windows)-1-i]
		out.windows = append(out.windows, [2]int{n - 1 - w[1], n - 1 - w[0]})
	}
	return out
}
