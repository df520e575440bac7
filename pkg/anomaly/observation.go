package anomaly

import (
	"time"

	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// Lateness is how far an event may lag behind, or run ahead of, the time at which Kafka took its record. Minutes are closed that much after their end. An
// event from further ahead counts as of the end of this span; one from further behind (a producer that was cut off for hours) is looked at by itself, by
// rules and findings, and moves no baseline: nobody can wait for it.
const Lateness = 5 * time.Minute

// Observation is what is seen of one event: who, when, how much, and what was found in its texts. It holds no content and no identity. Its strings
// outlive the record (they are interned by whoever makes the Observation: there are few tools, and many events).
type Observation struct {
	Partition int32 // of the events' topic
	Offset    int64
	// Recorded is when Kafka took the record, Time what the event says, in microseconds since 1970.
	Recorded, Time int64
	Event          [16]byte // event_id
	// Digest is a hash of the whole record under a seed that whoever writes events does not know, the same for all observations that one engine gets. Events that
	// differ in it are different, whatever id they claim. Of events with findings of threat or Matches it is the same after a restart. 0: the record is not known.
	Digest       uint64
	Tenant       string
	Subject      [16]byte // pseudonym; zero: an event of the system itself
	Type, Action string
	Outcome      events.Outcome

	// The empty string: absent.
	Agent, AgentName, Tool, Provider, Model, ResourceType, ErrorType, Risk, Decision, Policy string
	// Hashes under a key of the deployment, for telling whether two are the same; 0: absent.
	Session, Resource, Network uint64

	InputTokens, OutputTokens, Rows, DurationMillis uint64
	CostMicroUSD                                    uint64

	Producer    string // "": the event has none, and no gap can be seen
	ProducerSeq uint64

	// What pkg/scan found in the content, and the conditions on single events (by their number in the rules) that the event fulfils. Both may be reused by
	// the caller after Observe.
	Findings []scan.Finding
	Threat   scan.Threat
	Matches  []int
}
