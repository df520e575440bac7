package anomaly

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// EntityKind is what an incident is about.
type EntityKind string

// The kinds of entities that have baselines.
const (
	EntitySubject  EntityKind = "subject"
	EntityAgent    EntityKind = "agent"
	EntityTenant   EntityKind = "tenant"
	EntityProducer EntityKind = "producer"
)

// Status is how far an incident is.
type Status string

const (
	// Provisional: said at once, from minutes that are still open. It may grow, and it may turn out to be nothing.
	Provisional Status = "provisional"
	// Final: its minutes are closed. This, with id, subject, window and severity, is what a replay reproduces.
	Final Status = "final"
	// Withdrawn: it was provisional, and with the events that came late it is no incident.
	Withdrawn Status = "withdrawn"
)

// Limits of what an incident carries; beyond them Signals and Events hold the strongest and the first.
const (
	MaxSignals = 16
	MaxEvents  = 20
)

// Signal is one piece of evidence: what was expected, what was seen.
type Signal struct {
	// Name is made of dotted parts: rate.cost, value.tokens, novel.tool, gap.sequence, silence.producer, rule.<id>, finding.<name>.
	Name string `json:"name"`
	// Expected and Observed are for people: "at most 1.20 USD an hour", "312.55 USD an hour". They hold numbers and names of tools, agents and models,
	// never identities or content.
	Expected string `json:"expected"`
	Observed string `json:"observed"`
	// Score is the surprise, -log10 of the tail probability, 0 to 9. Rules and findings, which are no matter of probability, have the score that their severity
	// is worth.
	Score float64 `json:"score"`
	// Since is when it began.
	Since time.Time `json:"since"`
}

// Incident is everything that was noticed about one entity in one go. On the topic of alerts it stands as JSON, a record for each Revision, keyed by ID.
type Incident struct {
	ID uuid.UUID `json:"id"`
	// Revision rises with each change that is said, from 1.
	Revision uint32 `json:"revision"`
	// Time is when it was first noticed, in the events' time; First and Last are the window of its evidence.
	Time  time.Time `json:"time"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`

	Tenant string     `json:"tenant"`
	Kind   EntityKind `json:"kind"`
	// Subject is the pseudonym of the user; the zero UUID if the incident is about no user.
	Subject uuid.UUID `json:"subject"`
	// Entity is the agent's or producer's id, for these kinds.
	Entity string `json:"entity,omitempty"`
	// Agents and Tools that took part, at most eight each, sorted.
	Agents []string `json:"agents,omitempty"`
	Tools  []string `json:"tools,omitempty"`

	Severity Severity `json:"severity"`
	Title    string   `json:"title"`
	Signals  []Signal `json:"signals"`
	// Events are the ids of the events that show it, the first ones, in order of time. Each is an entry of the log.
	Events []uuid.UUID `json:"entries"`
	// EventCount is how many there are in all, CostUSD what they cost.
	EventCount uint64  `json:"event_count"`
	CostUSD    float64 `json:"cost_usd"`

	Status Status `json:"status"`
	// Summarised: the tenant's budget of alerts for the day was spent, so it is counted in the day's summary and not sent by itself.
	Summarised bool `json:"summarised,omitempty"`
}

// maxIncidentBytes bounds a record of the topic of alerts. What detection writes is far smaller.
const maxIncidentBytes = 256 << 10

// maxRevision is far beyond what an incident of a day can have. Behind the largest number there would be none, and nothing more could be said.
const maxRevision = 1 << 24

// MarshalIncident returns the JSON of the topic of alerts.
func MarshalIncident(in *Incident) ([]byte, error) {
	text, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("incident %s: %w", in.ID, err)
	}
	if len(text) > maxIncidentBytes {
		return nil, fmt.Errorf("incident %s: %d bytes, at most %d expected", in.ID, len(text), maxIncidentBytes)
	}
	return text, nil
}

// ParseIncident reads what MarshalIncident has written, which may come from elsewhere.
func ParseIncident(text []byte) (Incident, error) {
	var in Incident
	if len(text) > maxIncidentBytes {
		return in, fmt.Errorf("an incident of %d bytes, at most %d expected", len(text), maxIncidentBytes)
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return in, fmt.Errorf("read an incident: %w", err)
	}
	switch {
	case in.ID == uuid.Nil:
		return in, fmt.Errorf("an incident without an id")
	case in.Revision == 0 || in.Revision > maxRevision:
		return in, fmt.Errorf("incident %s: revision %d, 1 to %d expected", in.ID, in.Revision, maxRevision)
	case in.Severity < Low || in.Severity > Critical:
		return in, fmt.Errorf("incident %s: no severity", in.ID)
	case in.Status != Provisional && in.Status != Final && in.Status != Withdrawn:
		return in, fmt.Errorf("incident %s: status %q is not known", in.ID, in.Status)
	case len(in.Signals) > MaxSignals || len(in.Events) > MaxEvents:
		return in, fmt.Errorf("incident %s: %d signals and %d entries, at most %d and %d expected", in.ID, len(in.Signals), len(in.Events), MaxSignals, MaxEvents)
	}
	return in, nil
}
