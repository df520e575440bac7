package anomaly

import (
	"encoding/binary"
	"fmt"
	"math"
)

const maximaBytes = 18

// Maxima follows one standardised statistic and tells the largest deviation upwards and downwards of each block of values. Two runs of blocks overlap by half,
// so that an excursion across a seam does not become two small ones. It takes 20 bytes and is what an entity keeps for itself where Tails are shared.
type Maxima struct {
	up, down [2]float32
	rows     uint16
}

// Step takes the next value. When a block of the given length ends, from 2 to 10,000, learn is called with its largest value and the largest of its negated
// values, 0 if there is none; each counts for half a block.
func (m *Maxima) Step(z float64, block int, learn func(up, down float64)) {
	if math.IsNaN(z) {
		return
	}
	z = min(max(z, -MaxDeviation), MaxDeviation)
	m.rows = uint16((int(m.rows) + 1) % block)
	for run := range m.up {
		m.up[run] = max(m.up[run], float32(z))
		m.down[run] = max(m.down[run], float32(-z))
		if (int(m.rows)+run*block/2)%block == 0 {
			learn(float64(m.up[run]), float64(m.down[run]))
			m.up[run], m.down[run] = 0, 0
		}
	}
}

// Append adds the encoded state to dst.
func (m *Maxima) Append(dst []byte) []byte {
	for run := range m.up {
		dst = appendFloat32(dst, m.up[run])
		dst = appendFloat32(dst, m.down[run])
	}
	return binary.LittleEndian.AppendUint16(dst, m.rows)
}

// ParseMaxima reads what Append has written and returns what follows it.
func ParseMaxima(src []byte) (Maxima, []byte, error) {
	var m Maxima
	if len(src) < maximaBytes {
		return m, nil, fmt.Errorf("maxima of %d bytes, %d expected", len(src), maximaBytes)
	}
	for run := range m.up {
		for i, to := range []*float32{&m.up[run], &m.down[run]} {
			*to = math.Float32frombits(binary.LittleEndian.Uint32(src[8*run+4*i:]))
			if !(*to >= 0 && *to <= MaxDeviation) {
				return Maxima{}, nil, fmt.Errorf("a maximum of %g, 0 to %g expected", *to, float64(MaxDeviation))
			}
		}
	}
	m.rows = binary.LittleEndian.Uint16(src[16:])
	return m, src[maximaBytes:], nil
}

// Calibration makes a statistic of any distribution a surprise: −log10 of how often a block of this series' own past has had as much, upwards and downwards
// apart. What differs from series to series (heavy tails, skew, runs) thereby comes out, and one threshold does for all. The zero value has seen nothing.
type Calibration struct {
	Up, Down Tail
	Maxima   Maxima
}

// Step returns the surprise of z by what is known before it, then learns it. The block is in values.
func (c *Calibration) Step(z float64, block int) float64 {
	s := c.Surprise(z)
	c.Maxima.Step(z, block, func(up, down float64) {
		c.Up.LearnHalf(up)
		c.Down.LearnHalf(down)
	})
	return s
}

// Surprise is how rare z is, and learns nothing.
func (c *Calibration) Surprise(z float64) float64 {
	if z < 0 {
		return c.Down.surpriseBeyond(-z, paretoLeastOwn)
	}
	return c.Up.surpriseBeyond(z, paretoLeastOwn)
}

// Append adds the encoded state to dst.
func (c *Calibration) Append(dst []byte) []byte {
	return c.Maxima.Append(c.Down.Append(c.Up.Append(dst)))
}

// ParseCalibration reads what Append has written and returns what follows it.
func ParseCalibration(src []byte) (c Calibration, rest []byte, err error) {
	if c.Up, src, err = ParseTail(src); err != nil {
		return Calibration{}, nil, err
	}
	if c.Down, src, err = ParseTail(src); err != nil {
		return Calibration{}, nil, err
	}
	if c.Maxima, src, err = ParseMaxima(src); err != nil {
		return Calibration{}, nil, err
	}
	return c, src, nil
}
