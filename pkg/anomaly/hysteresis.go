package anomaly

import (
	"encoding/binary"
	"fmt"
	"math"
)

const hysteresisBytes = 4

// Hysteresis keeps one episode from alerting over and over. What has alerted is held, and the hold decays by half in each half-life; meanwhile only what
// clearly exceeds it alerts again. It takes 4 bytes; the zero value holds nothing.
type Hysteresis struct{ hold float32 }

// Step returns the strength of a surprise: 1 or more means alert, and is how far it is above what it took. The time that has passed since the last step and
// the half-life are in the same unit, be it values or minutes. Rearm is by what factor a surprise must exceed the hold.
func (h *Hysteresis) Step(surprise, threshold, rearm, elapsed, halfLife float64) (strength float64) {
	hold := float64(h.hold) * math.Exp2(-elapsed/halfLife)
	strength = surprise / max(threshold, rearm*hold)
	if surprise >= threshold {
		hold = max(hold, surprise)
	}
	h.hold = float32(hold)
	return strength
}

// Holding is what is left of the strongest surprise that has reached the threshold.
func (h *Hysteresis) Holding() float64 { return float64(h.hold) }

// Append adds the encoded state to dst.
func (h *Hysteresis) Append(dst []byte) []byte { return appendFloat32(dst, h.hold) }

// ParseHysteresis reads what Append has written and returns what follows it.
func ParseHysteresis(src []byte) (Hysteresis, []byte, error) {
	if len(src) < hysteresisBytes {
		return Hysteresis{}, nil, fmt.Errorf("a hold of %d bytes, %d expected", len(src), hysteresisBytes)
	}
	h := Hysteresis{math.Float32frombits(binary.LittleEndian.Uint32(src))}
	if !(h.hold >= 0 && h.hold <= MaxDeviation) {
		return Hysteresis{}, nil, fmt.Errorf("a hold of %g", h.hold)
	}
	return h, src[hysteresisBytes:], nil
}

// Unit maps a strength (alert: 1 or more) to 0 to 1 (alert: AlertScore or more).
func Unit(strength float64) float64 {
	if !(strength > 0) {
		return 0
	}
	if math.IsInf(strength, 1) {
		return 1
	}
	return strength / (1 + strength)
}

// AlertScore is the score from which on something is an alert.
const AlertScore = 0.5
