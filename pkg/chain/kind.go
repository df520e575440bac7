package chain

import "strconv"

// Kind says what an entry holds. The numbers are those of the Enum8 column `kind` in ClickHouse.
type Kind uint8

// The kinds of entries.
const (
	KindEvent    Kind = 1 // an event of an agent, from the topic agent.events
	KindSystem   Kind = 2 // a signed record of our own processes, from the topic audit.system
	KindRejected Kind = 3 // a record that was not acceptable: a reason in the clear, the raw bytes sealed
	KindControl  Kind = 4 // written by ingest itself: opening, change of epoch, closing
)

// String returns the kind as it stands in entries.
func (k Kind) String() string {
	switch k {
	case KindEvent:
		return "event"
	case KindSystem:
		return "system"
	case KindRejected:
		return "rejected"
	case KindControl:
		return "control"
	}
	return "kind " + strconv.Itoa(int(k))
}
