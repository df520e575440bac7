package anomaly

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const (
	daySeconds  = 86_400
	hourSeconds = 3600
	monday      = 4 * daySeconds // 5 January 1970
)

// hourly makes hourly counts of a user who works by day and less on weekends.
func hourly(r *rand.Rand, days int) []float64 {
	var x []float64
	for i := range 24 * days {
		rate := 6.0
		if hour := i % 24; hour >= 8 && hour < 18 {
			rate = 60
		}
		if i/24%7 >= 5 {
			rate *= 0.6
		}
		x = append(x, float64(poisson(r, rate)))
	}
	return x
}

// poisson draws by Knuth's multiplication, which is good for small rates.
func poisson(r *rand.Rand, rate float64) int {
	n, limit := 0, math.Exp(-rate)
	for p := r.Float64(); p > limit; p *= r.Float64() {
		n++
	}
	return n
}

// alertsOf returns the hours at which an hourly series alerts.
func alertsOf(c *SeriesConfig, x []float64) (alerts []int) {
	var s Series
	for i, v := range x {
		if s.Step(c, monday+int64(i)*hourSeconds, v).Alert() {
			alerts = append(alerts, i)
		}
	}
	return alerts
}

func anyIn(alerts []int, from, to int) bool {
	for _, i := range alerts {
		if i >= from && i < to {
			return true
		}
	}
	return false
}

// What the engine on call wants found in counts by the hour, after four weeks of habit.
func TestSeriesFinds(t *testing.T) {
	c := DefaultSeriesConfig()
	const days, at = 42, 28*24 + 10
	for name, change := range map[string]func(i int, x float64) float64{
		"spike ×5": func(i int, x float64) float64 {
			if i == at {
				return 5 * x
			}
			return x
		},
		"shift ×3": func(i int, x float64) float64 {
			if i >= at {
				return 3 * x
			}
			return x
		},
		"night burst": func(i int, x float64) float64 {
			if i >= at+16 && i < at+20 { // from 2 to 6, as much as by day
				return x + 50
			}
			return x
		},
	} {
		found := 0
		for seed := range uint64(40) {
			x := hourly(rand.New(rand.NewPCG(seed, 9)), days)
			for i := range x {
				x[i] = change(i, x[i])
			}
			if anyIn(alertsOf(&c, x), at, at+24) {
				found++
			}
		}
		if found < 39 {
			t.Errorf("%s: %d of 40 found within a day", name, found)
		}
	}
}

// A level that stays is said once: the next days are silent, although the old level is far.
func TestSeriesIsSilentAfterAShift(t *testing.T) {
	c := DefaultSeriesConfig()
	r := rand.New(rand.NewPCG(7, 7))
	var s Series
	var alerts []int
	for i := range 6000 {
		x := 100 + 5*r.NormFloat64()
		if i >= 3000 {
			x += 80
		}
		if s.Step(&c, monday+int64(i)*300, x).Alert() {
			alerts = append(alerts, i)
		}
	}
	if len(alerts) == 0 || !anyIn(alerts, 3000, 3003) {
		t.Fatalf("alerts at %v, the shift was at 3000", alerts)
	}
	after := 0
	for _, i := range alerts {
		if i > 3003 {
			after++
		}
	}
	if after > 1 {
		t.Errorf("%d alerts behind the one for the shift: %v", after, alerts)
	}
}

// In the first two weeks everything is new. Mute keeps silent, and says what it would not have been silent about afterwards.
func TestSeriesColdStart(t *testing.T) {
	plain := DefaultSeriesConfig()
	muted := plain
	muted.Mute = 14 * 24 * time.Hour
	first, later := 0, 0
	const series = 40
	for seed := range uint64(series) {
		x := hourly(rand.New(rand.NewPCG(seed, 11)), 42)
		for _, i := range alertsOf(&plain, x) {
			if i < 14*24 {
				first++
			} else {
				later++
			}
		}
		x[20*24+10] *= 6
		alerts := alertsOf(&muted, x)
		if anyIn(alerts, 0, 14*24) {
			t.Errorf("alerts at %v while muted", alerts)
		}
		if !anyIn(alerts, 20*24+10, 20*24+11) {
			t.Errorf("seed %d: nothing of a spike ×6 six days after the mute: %v", seed, alerts)
		}
	}
	t.Logf("without mute %.2f false alerts a series in the first 14 days, then %.3f a day", float64(first)/series, float64(later)/series/28)
	if first > 4*series {
		t.Errorf("%d false alerts of %d series in the first 14 days", first, series)
	}
	if perDay := float64(later) / series / 28; perDay > 0.06 {
		t.Errorf("%.3f false alerts a day after them", perDay)
	}
}

// The older a series, the more it takes to alert.
func TestSeriesAges(t *testing.T) {
	c := DefaultSeriesConfig()
	if got := c.Evidence(2, 0); got != 2 {
		t.Errorf("of a surprise of 2 in a new series %g are left", got)
	}
	for _, seen := range []uint32{10, 1000, 100_000, math.MaxUint32} {
		if young, old := c.Evidence(5, seen/10), c.Evidence(5, seen); !(old < young && old >= 0) {
			t.Errorf("after %d values %g are left, before it was %g", seen, old, young)
		}
	}
	if got := c.Evidence(9, 9_999_000); math.Abs(got-(9-4*c.Ageing)) > 1e-12 {
		t.Errorf("four tenfolds of age take %g", 9-got)
	}
	if got := c.Evidence(0, 1_000_000); got != 0 {
		t.Errorf("no surprise is evidence of %g", got)
	}
	c.Ageing = 0
	if got := c.Evidence(1.5, math.MaxUint32); got != 1.5 {
		t.Errorf("without ageing, %g of 1.5 are left", got)
	}
}

// Each spike by itself is usual; that there are so many is not.
func TestSeriesSeesMoreSpikes(t *testing.T) {
	c := DefaultSeriesConfig()
	const series, at, rows = 10, 6000, 200
	found, before := 0, 0
	for seed := range uint64(series) {
		r := rand.New(rand.NewPCG(seed, 21))
		var s Series
		alerted := false
		for i := range at + rows {
			x, share := r.NormFloat64(), 1/60.0
			if i >= at {
				share = 1 / 6.0
			}
			if r.Float64() < share {
				x += 20
			}
			switch alert := s.Step(&c, monday+int64(i)*300, x).Alert(); {
			case alert && i >= at:
				alerted = true
			case alert && i >= at/2:
				before++
			}
		}
		if alerted {
			found++
		}
	}
	if found < series*9/10 || before > series {
		t.Errorf("found in %d of %d series; %d alerts in the ten days before", found, series, before)
	}
}

// Between counting values and counting time: with every second value left out, alerts are remembered for √2 of the values, which is 1/√2 of the time more.
func TestSeriesElapsed(t *testing.T) {
	c := DefaultSeriesConfig()
	for _, test := range []struct {
		from, to int64
		want     float64
	}{
		{0, 300, 1},
		{-600, -300, 1},
		{0, 600, math.Sqrt2},
		{0, 3600, math.Sqrt(12)},
		{0, 0, math.Sqrt(1. / 300)}, // a second
		{50, 0, math.Sqrt(1. / 300)},
		{math.MinInt64, math.MaxInt64, math.Sqrt(math.Exp2(64) / 300)},
	} {
		if got := c.Elapsed(test.from, test.to); math.Abs(got-test.want) > 1e-9*test.want {
			t.Errorf("from %d to %d: %g, expected %g", test.from, test.to, got, test.want)
		}
	}
}

// An alert is remembered from value to value, and forgotten over a long silence: the same spike alerts again then, and not before.
func TestSeriesForgetsOverSilence(t *testing.T) {
	c := DefaultSeriesConfig()
	spike := func(silence int64) (first, second bool) {
		r := rand.New(rand.NewPCG(3, 3))
		var s Series
		at := int64(monday)
		for range 3000 {
			at += 300
			s.Step(&c, at, 100+5*r.NormFloat64())
		}
		at += 300
		first = s.Step(&c, at, 200).Alert()
		for range 70 { // what the spike left in the averages, and its block, pass
			at += 300
			s.Step(&c, at, 100+5*r.NormFloat64())
		}
		at += silence
		return first, s.Step(&c, at, 200).Alert()
	}
	if first, second := spike(300); !first || second {
		t.Errorf("with no silence: %v, then %v", first, second)
	}
	if first, second := spike(90 * daySeconds); !first || !second {
		t.Errorf("with a long silence: %v, then %v", first, second)
	}
}

// Whatever comes in, what comes out is finite and bounded.
func TestSeriesIsBounded(t *testing.T) {
	c := DefaultSeriesConfig()
	c.Warmup = 3
	rapid.Check(t, func(t *rapid.T) {
		var s Series
		values := rapid.SliceOfN(anyFloat(), 0, 300).Draw(t, "values")
		times := rapid.SliceOfN(rapid.Int64(), len(values), len(values)).Draw(t, "times")
		for i, x := range values {
			score := s.Step(&c, times[i], x)
			for _, y := range []float64{score.Surprise, score.Strength, score.Expected, score.Low, score.High} {
				if !finite(y) {
					t.Fatalf("%+v of %g", score, x)
				}
			}
			if unit := Unit(score.Strength); score.Surprise < 0 || score.Surprise > MaxSurprise || !(unit >= 0 && unit <= 1) || score.Low > score.High {
				t.Fatalf("%+v of %g", score, x)
			}
		}
		if _, rest, err := ParseSeries(s.Append(nil)); err != nil || len(rest) > 0 {
			t.Fatalf("%v, %d bytes left", err, len(rest))
		}
	})
}

// The unit of the values and their zero do not matter: seconds or milliseconds, Celsius or Kelvin.
func TestSeriesScaleAndShift(t *testing.T) {
	c := DefaultSeriesConfig()
	rapid.Check(t, func(t *rapid.T) {
		factor := math.Ldexp(rapid.SampledFrom([]float64{1, -1}).Draw(t, "sign"), rapid.IntRange(-20, 20).Draw(t, "exponent"))
		shift := float64(rapid.IntRange(-1_000_000, 1_000_000).Draw(t, "shift"))
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		var a, b Series
		for i := range 800 {
			x := math.Round(100 * r.NormFloat64())
			if i%400 == 399 {
				x *= 20
			}
			at := int64(i) * 600
			sa, sb := a.Step(&c, at, x), b.Step(&c, at, (x+shift)*factor)
			if math.Abs(sa.Surprise-sb.Surprise) > 1e-9 || math.Abs(sa.Strength-sb.Strength) > 1e-9 {
				t.Fatalf("row %d: %+v, times %g from %g: %+v", i, sa, factor, shift, sb)
			}
		}
	})
}

// A snapshot at any row changes nothing of what is said afterwards.
func TestSeriesGoesOnFromItsState(t *testing.T) {
	c := DefaultSeriesConfig()
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		stop := rapid.IntRange(0, 1000).Draw(t, "stop")
		s := new(Series)
		var want []Score
		var state []byte
		var values []float64
		for i := range 1200 {
			if i == stop {
				state = s.Append(nil)
			}
			x := r.NormFloat64() * math.Exp(r.NormFloat64())
			score := s.Step(&c, int64(i)*1800, x)
			if i >= stop {
				values, want = append(values, x), append(want, score)
			}
		}
		again, rest, err := ParseSeries(append(state, "tail"...))
		if err != nil || string(rest) != "tail" {
			t.Fatalf("%q left: %v", rest, err)
		}
		for k, x := range values {
			if got := again.Step(&c, int64(stop+k)*1800, x); got != want[k] {
				t.Fatalf("stopped at %d, row %d: %+v, expected %+v", stop, stop+k, got, want[k])
			}
		}
	})
}

// No look-ahead: what comes later changes nothing of what was said.
func TestSeriesKnowsNotTheFuture(t *testing.T) {
	c := DefaultSeriesConfig()
	r := rand.New(rand.NewPCG(3, 3))
	var a, b Series
	for i := range 500 {
		x := r.NormFloat64()
		if got, want := b.Step(&c, int64(i)*300, x), a.Step(&c, int64(i)*300, x); got != want {
			t.Fatalf("row %d: %+v and %+v", i, got, want)
		}
	}
	before := a.Append(nil)
	if b.Step(&c, 0, math.NaN()) != (Score{}) || !bytes.Equal(b.Append(nil), before) {
		t.Error("NaN was learned")
	}
}

// The format of snapshots. If it changes, seriesVersion rises.
func TestGoldenSeries(t *testing.T) {
	var s Series
	for i := range 256 { // nothing is judged: no logarithms, which platforms may round differently
		s.Step(&SeriesConfig{Warmup: math.MaxUint32, Memory: 1}, int64(i)*900, float64(i%4))
	}
	state := s.Append(nil)
	sum := sha256.Sum256(state)
	const want = "568dd7c1964efc50"
	if got := hex.EncodeToString(sum[:8]); got != want || len(state) != 1361 {
		t.Errorf("%d bytes with hash %s, expected %s", len(state), got, want)
	}
	if _, _, err := ParseSeries(state); err != nil {
		t.Error(err)
	}
	for cut := range state {
		if _, _, err := ParseSeries(state[:cut]); err == nil {
			t.Fatalf("the first %d bytes are taken for a series", cut)
		}
	}
	for _, version := range []byte{1, 2, 4} {
		state[0] = version
		if _, _, err := ParseSeries(state); err == nil {
			t.Errorf("version %d is read", version)
		}
	}
}

func FuzzParseSeries(f *testing.F) {
	c := DefaultSeriesConfig()
	var s Series
	f.Add(s.Append(nil))
	for i := range 600 {
		s.Step(&c, int64(i)*hourSeconds, float64(i*i%97))
	}
	f.Add(s.Append(nil))
	f.Fuzz(func(t *testing.T, src []byte) {
		s, rest, err := ParseSeries(src)
		if err != nil {
			return
		}
		if again := s.Append(nil); !bytes.Equal(again, src[:len(src)-len(rest)]) {
			t.Errorf("%x is read and written as %x", src, again)
		}
		for i := range 3 {
			if score := s.Step(&c, int64(i), float64(i)); !finite(score.Strength) || !finite(score.Expected) {
				t.Errorf("%+v", score)
			}
		}
	})
}

func TestSeriesConfigValidate(t *testing.T) {
	c := DefaultSeriesConfig()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*SeriesConfig){
		"threshold":   func(c *SeriesConfig) { c.Threshold = 0 },
		"ageing":      func(c *SeriesConfig) { c.Ageing = -0.1 },
		"block":       func(c *SeriesConfig) { c.Block = 1 },
		"memory":      func(c *SeriesConfig) { c.Memory = math.NaN() },
		"long smooth": func(c *SeriesConfig) { c.SmoothLong = 0.5 },
		"long weight": func(c *SeriesConfig) { c.LongWeight = math.Inf(1) },
		"mute":        func(c *SeriesConfig) { c.Mute = -1 },
	} {
		c := DefaultSeriesConfig()
		if spoil(&c); c.Validate() == nil {
			t.Errorf("%s out of range is taken", name)
		}
	}
}
