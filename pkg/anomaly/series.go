package anomaly

import (
	"math"
)

// SeriesConfig is what a Series can be tuned by. There is one for all series: what differs between them, a Series learns.
type SeriesConfig struct {
	// Threshold is the surprise from which on a value is an alert: −log10 of how often a block of CalibrationBlock values holds as much.
	Threshold float64
	// HalfLife is in how many values the memory of an alert decays by half, and Rearm what multiple of the remembered surprise alerts again meanwhile.
	HalfLife, Rearm float64
	// Memory is in how many values a new level becomes the usual one.
	Memory float64
	// Block is the length, in values, of the blocks whose maxima calibrate the single views, FusedBlock that of those which calibrate their sum.
	Block, FusedBlock int
	// Warmup is how many values are learned before any is judged.
	Warmup uint32
	// Smooth is over how many values deviations from the season are averaged.
	Smooth float64
	// What each view is worth.
	ValueWeight, SeasonWeight, SpreadWeight float64
	// LeastScale is the smallest spread that is believed, in the units of the values; 0: any.
	LeastScale float64
	Exp        [8]float64
}

// DefaultSeriesConfig is what score-series and the engine use.
func DefaultSeriesConfig() SeriesConfig {
	return SeriesConfig{
		Threshold: 0.9, HalfLife: 30, Rearm: 2,
		Memory: 2000, Block: 100, FusedBlock: 150, Warmup: 30, Smooth: 6,
		ValueWeight: 0.8, SeasonWeight: 1, SpreadWeight: 0.6,
	}
}

// Score is what a Series says of one value.
type Score struct {
	// Surprise is −log10 of the share of blocks of this series' own past that hold something as rare, 0 to MaxSurprise.
	Surprise float64
	// Strength is 1 or more for an alert: by what factor the surprise exceeds what alerting took. Unit makes it a score.
	Strength float64
	// Expected, and the range in which most values lie, in the units of the values.
	Expected, Low, High float64
}

// Alert is whether to alert. A value that goes on with what has alerted before does not alert again.
func (s Score) Alert() bool { return s.Strength >= 1 }

// Series watches one series of values.
type Series struct {
	origin                                       float64
	value, residual                              Level
	season                                       Season
	smooth                                       float64
	mean, fast, slow                             float64
	spread                                       Level
	valueTail, seasonTail, spreadTail, fusedTail Calibration
	hysteresis                                   Hysteresis
}

// Step judges x at t (seconds since 1970) by what is known before it, then learns it.
func (s *Series) Step(c *SeriesConfig, t int64, x float64) Score {
	if math.IsNaN(x) {
		return Score{}
	}
	x = min(max(x, -largestInput), largestInput)
	n := s.value.Count()
	if n == 0 {
		s.origin = x
	}
	x -= s.origin
	judged := n >= c.Warmup

	expected := s.season.Expect(t, s.value.Location())
	residual := x - expected
	scale := s.season.Scale(t, s.residual.Scale())

	var bySize, bySeason, bySpread float64
	if judged {
		bySize = s.valueTail.Step(s.value.Deviation(x, c.LeastScale), c.Block)
		s.smooth += (deviation(residual, max(scale, c.LeastScale)) - s.smooth) / c.Smooth
		bySeason = s.seasonTail.Step(s.smooth, c.Block)
	}
	s.season.Learn(t, x, residual, s.value.Location())
	s.value.Learn(x, c.Memory)
	s.residual.Learn(residual, c.Memory)

	const w = 12
	dv := math.Abs(x - s.mean)
	s.mean += (x - s.mean) / w
	s.fast += max(1/float64(w), 1/float64(n+1)) * (dv - s.fast)
	s.slow += max(1/c.Memory, 1/float64(n+1)) * (dv - s.slow)
	if s.slow > 0 && c.SpreadWeight > 0 {
		l := math.Log((s.fast + 1e-3*s.slow) / s.slow)
		if judged {
			bySpread = s.spreadTail.Step(s.spread.Deviation(l, 0), c.Block)
		}
		if n >= w {
			s.spread.Learn(l, c.Memory)
		}
	}

	out := Score{Expected: expected + s.origin, Low: expected + s.origin - 3*scale, High: expected + s.origin + 3*scale}
	if !judged {
		return out
	}
	fused := Fuse(Weighted{bySize, c.ValueWeight}, Weighted{bySeason, c.SeasonWeight}, Weighted{bySpread, c.SpreadWeight})
	out.Surprise = s.fusedTail.Step(fused, c.FusedBlock)
	out.Strength = s.hysteresis.Step(out.Surprise, c.Threshold, c.Rearm, 1, c.HalfLife)
	return out
}
