package anomaly

import (
	"fmt"
	"math"
	"time"
)

const (
	hoursOfDay = 24
	// seasonMemory is how many values of one hour an hour remembers.
	seasonMemory = 200
	// seasonShrink is how many values of an hour weigh as much as what is known of all hours together: a newcomer has no night yet.
	seasonShrink = 12
	// weekendShrink is the same for the difference between weekdays and weekends, which needs weeks to be seen, and weekendShare how much of it is taken.
	weekendShrink = 36
	weekendShare  = 0.5
	// leastHourScale keeps an hour that happened to be quiet from being surprised by everything, as a share of the scale of all hours.
	leastHourScale = 0.1
)

// Season is the profile of a day: what is usual in each hour, how much that varies, and what weekends change; each shrunk to the level of all hours as long
// as little is known of the hour. Hours are those of UTC: a profile needs the same hours each day, not people's. It takes 1,152 bytes; the zero value has
// seen nothing. It is not safe for concurrent use.
type Season struct {
	hour    [hoursOfDay]Level    // of values
	spread  [hoursOfDay]Level    // of residuals; their scale is what is used
	weekend [2][hoursOfDay]Level // of values less those of the hour, on weekdays and on weekends
}

// seasonPlace returns the hour and whether it is a weekend (1) of a time in seconds since 1970.
func seasonPlace(t int64) (hour, weekend int) {
	const day = int64(24 * time.Hour / time.Second)
	days := t / day
	if t < days*day {
		days-- // before 1970 division rounds up
	}
	hour = int((t - days*day) / (day / hoursOfDay))
	// 1970 began on a Thursday.
	switch weekday := ((days+4)%7 + 7) % 7; weekday {
	case int64(time.Saturday), int64(time.Sunday):
		weekend = 1
	}
	return hour, weekend
}

// Expect is the value that is usual at t, in seconds since 1970; all is the location of all hours together.
func (s *Season) Expect(t int64, all float64) float64 {
	hour, weekend := seasonPlace(t)
	base := shrunk(&s.hour[hour], all)
	part := &s.weekend[weekend][hour]
	weight := float64(part.Count()) / (float64(part.Count()) + weekendShrink)
	return base + weekendShare*weight*part.Location()
}

func shrunk(hour *Level, all float64) float64 {
	weight := float64(hour.Count()) / (float64(hour.Count()) + seasonShrink)
	return weight*hour.Location() + (1-weight)*all
}

// Scale is how much values vary around Expect at t; all is the scale of the residuals of all hours together.
func (s *Season) Scale(t int64, all float64) float64 {
	if all <= 0 {
		return 0
	}
	hour, _ := seasonPlace(t)
	spread := &s.spread[hour]
	weight := float64(spread.Count()) / (float64(spread.Count()) + seasonShrink)
	// Scales are ratios, hence their geometric mean.
	return all * math.Pow(max(spread.Scale()/all, leastHourScale), weight)
}

// Learn takes in a value and what it was beyond Expect.
func (s *Season) Learn(t int64, x, residual, all float64) {
	hour, weekend := seasonPlace(t)
	s.weekend[weekend][hour].Learn(x-shrunk(&s.hour[hour], all), seasonMemory)
	s.spread[hour].Learn(residual, seasonMemory)
	s.hour[hour].Learn(x, seasonMemory)
}

// Append adds the encoded state to dst.
func (s *Season) Append(dst []byte) []byte {
	for _, level := range s.levels() {
		dst = level.Append(dst)
	}
	return dst
}

// parse reads what Append has written into s and returns what follows it. On an error s is not to be used.
func (s *Season) parse(src []byte) (rest []byte, err error) {
	for i, level := range s.levels() {
		if *level, src, err = ParseLevel(src); err != nil {
			return nil, fmt.Errorf("level %d of a season: %w", i, err)
		}
	}
	return src, nil
}

func (s *Season) levels() []*Level {
	all := make([]*Level, 0, 4*hoursOfDay)
	for _, row := range [][]Level{s.hour[:], s.spread[:], s.weekend[0][:], s.weekend[1][:]} {
		for i := range row {
			all = append(all, &row[i])
		}
	}
	return all
}
