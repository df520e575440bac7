package anomaly

import (
	"math/rand/v2"
	"testing"
	"unsafe"
)

// What a step costs and what a series takes: bytes in memory, and bytes of its encoded state.
func BenchmarkSeriesStep(b *testing.B) {
	c := DefaultSeriesConfig()
	r := rand.New(rand.NewPCG(1, 1))
	x := make([]float64, 1<<14)
	for i := range x {
		x[i] = r.NormFloat64() * r.ExpFloat64()
	}
	var s Series
	at := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		s.Step(&c, at*300, x[at%int64(len(x))])
		at++
	}
	b.ReportMetric(float64(unsafe.Sizeof(s)), "B/series")
	b.ReportMetric(float64(len(s.Append(nil))), "B/encoded")
}

func BenchmarkSeriesAppend(b *testing.B) {
	c := DefaultSeriesConfig()
	r := rand.New(rand.NewPCG(1, 1))
	var s Series
	for i := range 10_000 {
		s.Step(&c, int64(i)*300, r.NormFloat64())
	}
	var state []byte
	b.ReportAllocs()
	for b.Loop() {
		state = s.Append(state[:0])
	}
}

// The parts that are composed for a user: a level and an own hysteresis and maxima a feature, with the tails shared.
func BenchmarkCompactBlocks(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	x := make([]float64, 1<<14)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	type feature struct {
		level  Level
		maxima Maxima
		hold   Hysteresis
	}
	var f feature
	var up, down Tail
	learn := func(u, d float64) { up.LearnHalf(u); down.LearnHalf(d) }
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		z := f.level.Deviation(x[i%len(x)], 0)
		tail := &up
		if z < 0 {
			tail = &down
			z = -z
		}
		f.hold.Step(tail.Surprise(z), 1, 2, 1, 60)
		f.maxima.Step(z, 100, learn)
		f.level.Learn(x[i%len(x)], 2000)
		i++
	}
	b.ReportMetric(float64(unsafe.Sizeof(f)), "B/feature")
	b.ReportMetric(float64(unsafe.Sizeof(up)), "B/tail")
}
