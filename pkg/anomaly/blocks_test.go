package anomaly

import (
	"bytes"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func TestLevelOfNormalValues(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var l Level
	for range 20_000 {
		l.Learn(50+4*r.NormFloat64(), 2000)
	}
	if math.Abs(l.Location()-50) > 0.5 || math.Abs(l.Scale()-4) > 0.4 {
		t.Errorf("%g ± %g of 50 ± 4", l.Location(), l.Scale())
	}
	before := l.Location()
	l.Learn(1e9, 2000)
	if moved := l.Location() - before; moved > 6*4.4/2000 {
		t.Errorf("one outlier moved the level by %g", moved)
	}
	for range 6000 {
		l.Learn(90+4*r.NormFloat64(), 2000)
	}
	if math.Abs(l.Location()-90) > 5 {
		t.Errorf("three memories after a shift to 90 it is at %g", l.Location())
	}
}

func TestLevelTakesAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l Level
		for _, x := range rapid.SliceOf(anyFloat()).Draw(t, "values") {
			l.Learn(x, 100)
			for _, y := range []float64{l.Location(), l.Scale(), l.Deviation(x, 0), l.Deviation(math.MaxFloat64, 0)} {
				if !finite(y) {
					t.Fatalf("%+v after %g", l, x)
				}
			}
		}
		got, rest, err := ParseLevel(l.Append(nil))
		if err != nil || len(rest) != 0 || got != l {
			t.Fatalf("%+v of %+v: %v", got, l, err)
		}
	})
}

// anyFloat draws numbers of all magnitudes and what is no number.
func anyFloat() *rapid.Generator[float64] {
	return rapid.OneOf(rapid.Float64(), rapid.Float64Range(-100, 100), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, 5e-324}))
}

// The prior of a Tail is that of normal values, with the Pareto tail beyond.
func TestTailKnowsNothing(t *testing.T) {
	var tail Tail
	for _, a := range []float64{0.2, 0.5, 1, 1.2} {
		if got, want := tail.Surprise(a), -math.Log10(math.Erfc(a/math.Sqrt2)); math.Abs(got-want) > 0.02 {
			t.Errorf("surprise of %g: %g, of a normal variable %g", a, got, want)
		}
	}
}

func TestTailLearns(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var tail Tail
	for range 20_000 {
		tail.LearnHalf(math.Pow(1-r.Float64(), -1/3.0)) // Pareto, exponent 3
	}
	for _, a := range []float64{2, 4, 20, 100} {
		if got, want := tail.Surprise(a), 3*math.Log10(a); math.Abs(got-want) > 0.25 {
			t.Errorf("surprise of %g: %g, %g by the law it was drawn from", a, got, want)
		}
	}
}

// A Tail's surprise is monotone, finite and within its bounds, whatever was learned.
func TestTailIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tail Tail
		for _, a := range rapid.SliceOf(anyFloat()).Draw(t, "maxima") {
			tail.LearnHalf(a)
		}
		last := 0.0
		for a := 1e-4; a < 1e8; a *= 1.05 {
			s := tail.Surprise(a)
			if !(s >= last-1e-9 && s <= MaxSurprise) {
				t.Fatalf("surprise of %g is %g, below it is %g", a, s, last)
			}
			last = s
		}
		got, rest, err := ParseTail(tail.Append(nil))
		if err != nil || len(rest) != 0 || got != tail {
			t.Fatalf("%v, %d bytes left", err, len(rest))
		}
	})
}

// What was counted is no rarer than it was, however thin the Pareto tail that begins below it; what was never seen is as rare as can be.
func TestSurpriseOfCounted(t *testing.T) {
	var tail Tail
	for range 2 * 57 {
		tail.LearnHalf(1)
	}
	for range 2 * 3 {
		tail.LearnHalf(45)
	}
	if got, want := tail.surpriseOfCounted(44), -math.Log10(3.0/(57+3+tailPrior)); math.Abs(got-want) > 1e-9 || tail.Surprise(44) < want+0.2 {
		t.Errorf("44 was seen in 3 of 60 blocks: %.2f, expected %.2f, the tail says %.2f", got, want, tail.Surprise(44))
	}
	if got := tail.surpriseOfCounted(100); got != MaxSurprise {
		t.Errorf("100 was never seen: %g", got)
	}
	for _, a := range []float64{-1, 0, math.NaN()} {
		if got := tail.surpriseOfCounted(a); got != 0 {
			t.Errorf("%g: %g", a, got)
		}
	}
	last := 0.0
	for a := 0.01; a < 2000; a *= 1.01 {
		s := tail.surpriseOfCounted(a)
		if s < last {
			t.Fatalf("%.2f at %.2f, %.2f below", s, a, last)
		}
		last = s
	}
}

func TestTailHalves(t *testing.T) {
	tail := Tail{total: tailFull}
	tail.learned[40], tail.learned[41] = tailFull-1, 1
	tail.LearnHalf(1.01)
	if tail.total != tailFull/2 || tail.learned[40] != tailFull/2 || tail.learned[41] != 0 {
		t.Errorf("%d in all, %d and %d", tail.total, tail.learned[40], tail.learned[41])
	}
}

func TestMaximaOfBlocks(t *testing.T) {
	var m Maxima
	var got [][2]float64
	for i := range 20 {
		z := float64(i)
		if i%2 == 1 {
			z = -z
		}
		m.Step(z, 10, func(up, down float64) { got = append(got, [2]float64{up, down}) })
	}
	want := [][2]float64{{4, 3}, {8, 9}, {14, 13}, {18, 19}} // the first of the second run is half a block long
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("block %d: %v, expected %v", i, got[i], want[i])
		}
	}
}

// Whatever the distribution, a calibrated statistic exceeds surprise 1 in about a tenth of the blocks.
func TestCalibrationMakesAlike(t *testing.T) {
	for name, draw := range map[string]func(*rand.Rand) float64{
		"normal":      func(r *rand.Rand) float64 { return r.NormFloat64() },
		"exponential": func(r *rand.Rand) float64 { return r.ExpFloat64() },
		"heavy":       func(r *rand.Rand) float64 { return math.Pow(1-r.Float64(), -1/2.0) },
	} {
		r := rand.New(rand.NewPCG(5, 6))
		var c Calibration
		blocks, high := 0, 0
		for block := range 2000 {
			largest := 0.0
			for range 100 {
				if z := draw(r); z > 0 {
					largest = max(largest, c.Step(z, 100))
				} else {
					c.Step(z, 100)
				}
			}
			if block >= 500 {
				blocks++
				if largest >= 1 {
					high++
				}
			}
		}
		if share := float64(high) / float64(blocks); share < 0.05 || share > 0.15 {
			t.Errorf("%s: %.3f of the blocks reach surprise 1", name, share)
		}
	}
}

func TestSeasonPlace(t *testing.T) {
	f := func(at int64, hour, weekend int) {
		t.Helper()
		if h, w := seasonPlace(at); h != hour || w != weekend {
			t.Errorf("%d: hour %d weekend %d, expected %d and %d", at, h, w, hour, weekend)
		}
	}
	f(0, 0, 0)               // Thursday, 1 January 1970
	f(2*86400, 0, 1)         // Saturday
	f(4*86400-1, 23, 1)      // the last second of Sunday
	f(4*86400, 0, 0)         // Monday
	f(-1, 23, 0)             // Wednesday
	f(-4*86400, 0, 1)        // Sunday
	f(math.MinInt64, 8, 1)   // only that it is within bounds
	f(1785974400, 0, 0)      // 6 August 2026, a Thursday
	f(1785974400+59, 0, 0)   //
	f(1785974400+3600, 1, 0) //
}

func TestHysteresisIsSilentAfterAnAlert(t *testing.T) {
	var h Hysteresis
	step := func(s float64) bool { return h.Step(s, 1, 2, 1, 30) >= 1 }
	if step(0.9) || !step(1.5) || step(1.5) || step(2.9) {
		t.Error("0.9 is silent, 1.5 alerts, and not again, nor does 2.9")
	}
	if !step(6.1) {
		t.Error("6.1 clearly exceeds what it held")
	}
	// What goes on being surprising renews the hold; once it is over, the same alerts again after a while.
	for range 200 {
		if step(1.5) {
			t.Fatal("the same episode alerts again")
		}
	}
	for range 40 {
		step(0)
	}
	if !step(1.5) {
		t.Error("40 steps later it is another episode")
	}
}

func TestUnit(t *testing.T) {
	for _, f := range [][2]float64{{0, 0}, {-1, 0}, {math.NaN(), 0}, {1, AlertScore}, {3, 0.75}, {math.Inf(1), 1}} {
		if got := Unit(f[0]); got != f[1] {
			t.Errorf("strength %g: score %g, expected %g", f[0], got, f[1])
		}
	}
}

func TestFuse(t *testing.T) {
	if got := Fuse(Weighted{2, 1}, Weighted{0, 1}, Weighted{-5, 3}); math.Abs(got-2) > 1e-12 {
		t.Errorf("one view alone: %g", got)
	}
	if got := Fuse(Weighted{2, 1}, Weighted{2, 1}); got < 2.3 || got > 2.5 {
		t.Errorf("two equal views: %g", got)
	}
}

// The formats of the snapshots. If they change, snapshots of older versions must still be read, or SeriesVersion rise.
func TestGoldenBlocks(t *testing.T) {
	level := Level{location: 1.5, scale: 0.25, count: 7}
	tail := Tail{total: 300}
	tail.learned[0], tail.learned[3], tail.learned[79] = 1, 200, 2
	maxima := Maxima{up: [2]float32{1, 2}, down: [2]float32{3, 4}, rows: 515}
	for name, f := range map[string]struct {
		got  []byte
		want string
	}{
		"level":      {level.Append(nil), "0000c03f0000803e07000000"},
		"tail":       {tail.Append(nil), "ac02" + "0101" + "03c801" + "4c02" + "00"},
		"maxima":     {maxima.Append(nil), "0000803f" + "00004040" + "00000040" + "00008040" + "0302"},
		"hysteresis": {(&Hysteresis{hold: 2.5}).Append(nil), "00002040"},
	} {
		if got := hex.EncodeToString(f.got); got != f.want {
			t.Errorf("%s: %s, expected %s", name, got, f.want)
		}
	}
}

func FuzzParseCalibration(f *testing.F) {
	var c Calibration
	f.Add(c.Append(nil))
	for i := range 500 {
		c.Step(float64(i%17)-8, 20)
	}
	f.Add(c.Append(nil))
	f.Fuzz(func(t *testing.T, src []byte) {
		c, rest, err := ParseCalibration(src)
		if err != nil {
			return
		}
		if again := c.Append(nil); !bytes.Equal(again, src[:len(src)-len(rest)]) {
			t.Errorf("%x is read and written as %x", src, again)
		}
		if s := c.Step(3, 20); !(s >= 0 && s <= MaxSurprise) {
			t.Errorf("surprise %g", s)
		}
	})
}
