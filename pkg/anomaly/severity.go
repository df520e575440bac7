package anomaly

import (
	"encoding"
	"fmt"
)

// Severity is how urgent an incident is.
type Severity uint8

// The severities, by rising urgency.
const (
	Low Severity = iota + 1
	Medium
	High
	Critical
)

var severityNames = [...]string{Low: "low", Medium: "medium", High: "high", Critical: "critical"}

// String returns the name as it stands in alerts, rules and configuration.
func (s Severity) String() string {
	if s < Low || s > Critical {
		return fmt.Sprintf("severity %d", uint8(s))
	}
	return severityNames[s]
}

var (
	_ encoding.TextMarshaler   = Severity(0)
	_ encoding.TextUnmarshaler = (*Severity)(nil)
)

// MarshalText refuses what is no severity.
func (s Severity) MarshalText() ([]byte, error) {
	if s < Low || s > Critical {
		return nil, fmt.Errorf("no severity: %d", uint8(s))
	}
	return []byte(severityNames[s]), nil
}

// UnmarshalText takes the names that String returns.
func (s *Severity) UnmarshalText(text []byte) error {
	for i, name := range severityNames {
		if name != "" && string(text) == name {
			*s = Severity(i)
			return nil
		}
	}
	return fmt.Errorf("severity %q: low, medium, high or critical expected", text)
}
