package events

import "fmt"

// Outcome is how an action ended. Its numbers are those of the column's Enum8.
type Outcome uint8

// The outcomes; zero is none of them.
const (
	Success Outcome = iota + 1
	Failure
	Denied  // refused by a policy or a person
	Blocked // stopped by a guard before it had an effect
	Pending // not known yet, as while an approval is waited for
)

var outcomeNames = [...]string{"", "success", "failure", "denied", "blocked", "pending"}

// String returns the wire name, "" for none.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return ""
}

// MarshalText returns the wire name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads the wire name.
func (o *Outcome) UnmarshalText(text []byte) error {
	if *o = parseOutcome(text); *o == 0 {
		return fmt.Errorf("outcome %s", reasonOutcome)
	}
	return nil
}

func parseOutcome(name []byte) Outcome {
	switch string(name) {
	case "success":
		return Success
	case "failure":
		return Failure
	case "denied":
		return Denied
	case "blocked":
		return Blocked
	case "pending":
		return Pending
	}
	return 0
}
