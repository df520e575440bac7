package anomaly

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// SeriesConfig is what a Series can be tuned by. There is one for all series: what differs between them, a Series learns. The zero value is of no use; start
// from DefaultSeriesConfig.
type SeriesConfig struct {
	// Threshold is the surprise from which on a value is an alert: −log10 of how often a block of FusedBlock values holds as much. This is the knob: by 0.1
	// more, there are about a fifth fewer false alerts.
	Threshold float64
	// Ageing is what is taken off surprises with each tenfold of a thousand values: whoever waits ten times as long sees by chance what is ten times as
	// rare. 1 would be Bonferroni's correction for all that was seen, with which an old series hardly ever alerts; 0 is one rate of alerts for ever.
	Ageing float64
	// HalfLife is in how many values, five minutes apart, the memory of an alert decays by half (see Elapsed), and Rearm what multiple of the remembered
	// surprise alerts again meanwhile.
	HalfLife, Rearm float64
	// Memory is in how many values a new level becomes the usual one.
	Memory float64
	// Smooth and SmoothLong are over how many values deviations are averaged to see those that last.
	Smooth, SmoothLong float64
	// Block is the length, in values, of the blocks whose maxima calibrate the single views, FusedBlock that of those which calibrate their sum.
	Block, FusedBlock int
	// Warmup is how many values are learned before any is judged.
	Warmup uint32
	// Mute is for how long from the first value on nothing alerts. In the first two weeks each weekday is new; where peers can speak for a newcomer, or nobody
	// wants to hear of one, mute it. Surprises are told all the same.
	Mute time.Duration
	// LeastScale is the smallest spread that is believed, in the units of the values; 0: any. For counts, 1 keeps a series that is nearly always 0 from
	// being surprised by every 1.
	LeastScale float64
	// What the views are worth: the value beside the level, at once and averaged, both LevelWeight; and beside its hour at once, averaged, and averaged over
	// SmoothLong.
	LevelWeight, HourWeight, LastingWeight, LongWeight float64
}

// DefaultSeriesConfig is what `agentaudit score-series` uses. docs/detection.md says how the numbers were chosen, and how little most of them matter.
func DefaultSeriesConfig() SeriesConfig {
	return SeriesConfig{
		Threshold: 0.71, Ageing: 0.4, HalfLife: 60, Rearm: 2.5,
		Memory: 2000, Smooth: 5, SmoothLong: 30, Block: 100, FusedBlock: 200, Warmup: 30,
		LevelWeight: 0.8, HourWeight: 0.8, LastingWeight: 1, LongWeight: 1,
	}
}

// Validate says which number is out of range.
func (c *SeriesConfig) Validate() error {
	for _, f := range []struct {
		name           string
		x, least, most float64
	}{
		{"threshold", c.Threshold, 0.01, MaxSurprise},
		{"ageing", c.Ageing, 0, 10},
		{"half-life", c.HalfLife, 0.1, 1e6},
		{"rearm", c.Rearm, 1, 1e3},
		{"memory", c.Memory, 1, 1e9},
		{"smooth", c.Smooth, 1, 1e6},
		{"long smooth", c.SmoothLong, 1, 1e6},
		{"block", float64(c.Block), 2, 10_000},
		{"fused block", float64(c.FusedBlock), 2, 10_000},
		{"mute (ns)", float64(c.Mute), 0, math.MaxInt64},
		{"least scale", c.LeastScale, 0, largestInput},
		{"level weight", c.LevelWeight, 0, 10},
		{"hour weight", c.HourWeight, 0, 10},
		{"lasting weight", c.LastingWeight, 0, 10},
		{"long weight", c.LongWeight, 0, 10},
	} {
		if !(f.x >= f.least && f.x <= f.most) {
			return fmt.Errorf("series: %s of %g, %g to %g expected", f.name, f.x, f.least, f.most)
		}
	}
	return nil
}

// Score is what a Series says of one value.
type Score struct {
	// Surprise is −log10 of the share of blocks of this series' own past that hold something as rare, 0 to MaxSurprise; 0 during warm-up.
	Surprise float64
	// Strength is 1 or more for an alert: by what factor the surprise, less what ageing takes, exceeds what alerting took. Unit makes it a score from 0 to 1.
	Strength float64
	// Expected is the value that was usual; Low and High, three scales below and above, are where nearly all values were. In the units of the values.
	Expected, Low, High float64
}

// Alert is whether to alert. A value that goes on with what has alerted before does not alert again.
func (s Score) Alert() bool { return s.Strength >= 1 }

// Series watches one series of values: an own baseline, own tails, own memory of alerts. It is causal: what it says of a value depends on earlier ones and
// this one only. It takes about 5 KB, for agents, tenants and heavy users; what there are millions of is composed of the same parts with the tails
// shared. The zero value has seen nothing. It is not safe for concurrent use.
type Series struct {
	origin float64 // the first value. Everything is relative to it, so that float32 are fine enough
	first  int64   // its time, in seconds since 1970
	last   int64   // the time of the last value

	level    Level // of values
	residual Level // of values less what was expected; its scale is what is used
	season   Season
	means    [3]float64 // running means of the deviations: from the hour over Smooth and SmoothLong, from the level over Smooth

	byLevel, byHour, byLasting, byLong, byLevelLasting, fused Calibration
	hysteresis                                                Hysteresis
}

// priorWidth is how many standard deviations of a series count as one where the tails of its views are concerned. Their prior is of single normal values,
// and the largest of a block is more: without it a young series alerts at what is usual.
const priorWidth = 1.3

// Step judges x at t, in seconds since 1970, by what is known before it, then learns it. Values beyond ±1e30 count as that much; for NaN the Score is zero,
// and nothing is learned. All steps of a Series are to be with one config.
func (s *Series) Step(c *SeriesConfig, t int64, x float64) Score {
	if math.IsNaN(x) {
		return Score{}
	}
	x = min(max(x, -largestInput), largestInput)
	seen := s.level.Count()
	if seen == 0 {
		s.origin, s.first = x, t
	}
	x = min(max(x-s.origin, -largestInput), largestInput)

	all := s.level.Location()
	expected := s.season.Expect(t, all)
	residual := x - expected
	scale := max(s.season.Scale(t, s.residual.Scale()), c.LeastScale)
	score := Score{Expected: s.origin + expected, Low: s.origin + expected - 3*scale, High: s.origin + expected + 3*scale}
	if seen >= c.Warmup {
		fromHour := deviation(residual, scale)
		fromLevel := s.level.Deviation(x, c.LeastScale)
		s.means[0] += (fromHour - s.means[0]) / c.Smooth
		s.means[1] += (fromHour - s.means[1]) / c.SmoothLong
		s.means[2] += (fromLevel - s.means[2]) / c.Smooth
		fused := Fuse(
			Weighted{s.byLevel.Step(fromLevel/priorWidth, c.Block), c.LevelWeight},
			Weighted{s.byHour.Step(fromHour/priorWidth, c.Block), c.HourWeight},
			Weighted{s.byLasting.Step(s.means[0]/priorWidth, c.Block), c.LastingWeight},
			Weighted{s.byLong.Step(s.means[1]/priorWidth, c.Block), c.LongWeight},
			Weighted{s.byLevelLasting.Step(s.means[2]/priorWidth, c.Block), c.LevelWeight},
		)
		// Not so of the single views: of what two of them have seen before, both together may still be rare.
		atMost := s.fused.Up.surpriseOfCounted(fused)
		score.Surprise = min(s.fused.Step(fused, c.FusedBlock), atMost)
		score.Strength = s.hysteresis.Step(c.Evidence(score.Surprise, seen), c.Threshold, c.Rearm, c.Elapsed(s.last, t), c.HalfLife)
		if c.muted(t, s.first) {
			score.Strength = min(score.Strength, mutedStrength)
		}
	}

	s.last = t
	s.season.Learn(t, x, residual, all)
	s.level.Learn(x, c.Memory)
	s.residual.Learn(residual, c.Memory)
	return score
}

// Evidence is what is left of a surprise after so many values were seen before: 0 or more.
func (c *SeriesConfig) Evidence(surprise float64, seen uint32) float64 {
	const young = 1000 // values; in its first thousand a series is as good as new
	return max(surprise-c.Ageing*math.Log10(1+float64(seen)/young), 0)
}

// Elapsed is how much has passed for the memory of alerts between a value and the next, by their times in seconds since 1970, in values that are five minutes
// apart: √(seconds ÷ 300). It is the geometric mean of counting values, by which a series that lacks some of its values would remember alerts for longer, and of
// counting time, by which a series of the hour would forget them with the next value. Times that repeat or step back count as a second apart.
func (c *SeriesConfig) Elapsed(from, to int64) float64 {
	const usual = 300 // seconds
	// Not to-from: times from outside may lie so far apart that it overflows.
	return math.Sqrt(max(float64(to)-float64(from), 1) / usual)
}

// mutedStrength is the most that is said during Mute: clearly no alert.
const mutedStrength = 0.5

func (c *SeriesConfig) muted(t, first int64) bool {
	// Not t-first: times from outside may lie so far apart that it overflows.
	return c.Mute > 0 && float64(t)-float64(first) < c.Mute.Seconds()
}

// seriesVersion is the first byte of an encoded Series. 1 had one mean of deviations, 2 did not know when the last value was.
const seriesVersion = 3

// Append adds the encoded state to dst: the version, then the fields in their order, little-endian; 1.5 to 5 KB.
func (s *Series) Append(dst []byte) []byte {
	dst = append(dst, seriesVersion)
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(s.origin))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.first))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.last))
	for _, mean := range s.means {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(mean))
	}
	dst = s.level.Append(dst)
	dst = s.residual.Append(dst)
	dst = s.season.Append(dst)
	for _, c := range s.calibrations() {
		dst = c.Append(dst)
	}
	return s.hysteresis.Append(dst)
}

func (s *Series) calibrations() [6]*Calibration {
	return [...]*Calibration{&s.byLevel, &s.byHour, &s.byLasting, &s.byLong, &s.byLevelLasting, &s.fused}
}

// ParseSeries reads what Append has written and returns what follows it.
func ParseSeries(src []byte) (*Series, []byte, error) {
	const fixed = 1 + 6*8
	if len(src) < fixed {
		return nil, nil, fmt.Errorf("a series of %d bytes, at least %d expected", len(src), fixed)
	}
	if src[0] != seriesVersion {
		return nil, nil, fmt.Errorf("a series of version %d, %d expected", src[0], seriesVersion)
	}
	s := &Series{
		origin: math.Float64frombits(binary.LittleEndian.Uint64(src[1:])),
		first:  int64(binary.LittleEndian.Uint64(src[9:])),
		last:   int64(binary.LittleEndian.Uint64(src[17:])),
	}
	if !(math.Abs(s.origin) <= largestInput) {
		return nil, nil, fmt.Errorf("a series from %g on", s.origin)
	}
	for i := range s.means {
		s.means[i] = math.Float64frombits(binary.LittleEndian.Uint64(src[25+8*i:]))
		if !(math.Abs(s.means[i]) <= MaxDeviation) {
			return nil, nil, fmt.Errorf("a series deviating by %g", s.means[i])
		}
	}
	src = src[fixed:]
	var err error
	if s.level, src, err = ParseLevel(src); err != nil {
		return nil, nil, err
	}
	if s.residual, src, err = ParseLevel(src); err != nil {
		return nil, nil, err
	}
	if src, err = s.season.parse(src); err != nil {
		return nil, nil, err
	}
	for _, c := range s.calibrations() {
		if *c, src, err = ParseCalibration(src); err != nil {
			return nil, nil, err
		}
	}
	if s.hysteresis, src, err = ParseHysteresis(src); err != nil {
		return nil, nil, err
	}
	return s, src, nil
}
