package anomaly

import (
	"encoding/binary"
	"fmt"
	"math"
)

const (
	// levelPlain is how many values a Level takes as they are. From then on one value moves it by at most levelClip scales, so that a single outlier does not
	// become the new normal, while a shift that lasts is followed within the memory.
	levelPlain = 10
	levelClip  = 6
	// meanToSigma makes the mean absolute deviation of normal values a standard deviation: √(π/2).
	meanToSigma = 1.2533141373155003
	// largestInput bounds what a Level takes, so that its float32 stay finite.
	largestInput = 1e30

	levelBytes = 12
)

// Level is a running, winsorised location and scale of values: what is usual, and how much it varies, with exponential memory. It takes 12 bytes, for there
// are millions of them. The zero value is one that has seen nothing. It may be copied; it is not safe for concurrent use.
type Level struct {
	location, scale float32
	count           uint32
}

// Learn takes a value in. The memory is in values: of an older one e⁻¹ is left after so many. Until so many have been seen, all count alike. Values beyond
// ±1e30 count as that much; NaN is left out.
func (l *Level) Learn(x, memory float64) {
	if math.IsNaN(x) {
		return
	}
	x = min(max(x, -largestInput), largestInput)
	if l.count < math.MaxUint32 {
		l.count++
	}
	if l.count == 1 {
		l.location = float32(x)
		return
	}
	location, scale := float64(l.location), float64(l.scale)
	rate := max(1/float64(l.count), 1/memory)
	deviation := x - location
	if l.count > levelPlain && scale > 0 {
		deviation = min(max(deviation, -levelClip*scale), levelClip*scale)
	}
	l.location = float32(location + rate*deviation)
	if l.count == 2 {
		l.scale = float32(math.Abs(deviation))
		return
	}
	l.scale = float32(scale + rate*(meanToSigma*math.Abs(deviation)-scale))
}

// Location is the running mean of the winsorised values; 0 before the first.
func (l *Level) Location() float64 { return float64(l.location) }

// Scale is a standard deviation, from the mean absolute one; 0 as long as all values were equal.
func (l *Level) Scale() float64 { return float64(l.scale) }

// Count is how many values were learned.
func (l *Level) Count() uint32 { return l.count }

// Deviation is how many scales x is from the location, with its sign. The floor, in units of x, is the smallest scale that is believed; a difference where
// the scale and the floor are 0 is MaxDeviation. It is 0 before the first value.
func (l *Level) Deviation(x, floor float64) float64 {
	if l.count == 0 {
		return 0
	}
	return deviation(x-float64(l.location), max(float64(l.scale), floor))
}

// MaxDeviation bounds deviations: beyond it, more says nothing more.
const MaxDeviation = 1e6

// deviation is difference/scale within ±MaxDeviation, 0/0 being 0.
func deviation(difference, scale float64) float64 {
	if difference == 0 || math.IsNaN(difference) {
		return 0
	}
	return min(max(difference/scale, -MaxDeviation), MaxDeviation)
}

// Append adds the encoded state to dst: location and scale as IEEE 754 single, then the count, little-endian.
func (l *Level) Append(dst []byte) []byte {
	dst = appendFloat32(dst, l.location)
	dst = appendFloat32(dst, l.scale)
	return binary.LittleEndian.AppendUint32(dst, l.count)
}

// ParseLevel reads what Append has written and returns what follows it.
func ParseLevel(src []byte) (Level, []byte, error) {
	var l Level
	if len(src) < levelBytes {
		return l, nil, fmt.Errorf("a level of %d bytes, %d expected", len(src), levelBytes)
	}
	l.location = math.Float32frombits(binary.LittleEndian.Uint32(src))
	l.scale = math.Float32frombits(binary.LittleEndian.Uint32(src[4:]))
	l.count = binary.LittleEndian.Uint32(src[8:])
	if !finite(float64(l.location)) || !finite(float64(l.scale)) || l.scale < 0 {
		return Level{}, nil, fmt.Errorf("a level at %g with scale %g", l.location, l.scale)
	}
	return l, src[levelBytes:], nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

func appendFloat32(dst []byte, x float32) []byte {
	return binary.LittleEndian.AppendUint32(dst, math.Float32bits(x))
}
