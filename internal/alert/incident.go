package alert

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// TypeIncident is the type of entries that say what was noticed: one for each revision of an incident.
const TypeIncident = "alert.incident"

// maxAttribute bounds each of the lists in an entry; together with the rest they stay below what attributes may hold.
const maxAttribute = 6 << 10

// Record returns a revision of an incident as a record of the system topic, to be signed by an author. Its event id comes from incident and revision, so that saying
// it again, after a crash in between, can be told from saying something else.
func Record(in *anomaly.Incident, by string, now time.Time) (events.Record, error) {
	signals, err := fitting(in.Signals)
	if err != nil {
		return events.Record{}, fmt.Errorf("incident %s: %w", in.ID, err)
	}
	shown, err := fitting(in.Events)
	if err != nil {
		return events.Record{}, fmt.Errorf("incident %s: %w", in.ID, err)
	}
	tenant := in.Tenant
	if tenant == "" {
		tenant = author.Tenant
	}
	return events.Record{
		EventID: events.UUID(RevisionID(in)), Time: now, Type: TypeIncident, Action: string(in.Status), Outcome: events.Success, Tenant: tenant,
		Agent: events.Agent{ID: by},
		Attributes: map[string]string{
			"incident": in.ID.String(), "revision": strconv.FormatUint(uint64(in.Revision), 10), "severity": in.Severity.String(), "title": in.Title,
			"kind": string(in.Kind), "subject": in.Subject.String(), "entity": in.Entity, "noticed": stamp(in.Time), "first": stamp(in.First), "last": stamp(in.Last),
			"signals": signals, "entries": shown, "event_count": strconv.FormatUint(in.EventCount, 10),
			"cost_usd": strconv.FormatFloat(in.CostUSD, 'f', 6, 64), "summarised": strconv.FormatBool(in.Summarised),
		},
	}, nil
}

// fitting returns a list as JSON, without its last ones if it would be too long.
func fitting[T any](list []T) (string, error) {
	for {
		text, err := json.Marshal(list)
		if err != nil || len(text) <= maxAttribute || len(list) == 0 {
			return string(text), err
		}
		list = list[:len(list)-1]
	}
}

// RevisionID is the event id of a revision's entry: a UUID of version 8 (RFC 9562, 5.8) made of the incident's id and the revision.
func RevisionID(in *anomaly.Incident) uuid.UUID {
	return uuid.UUID(events.HashedUUID(binary.BigEndian.AppendUint32(append([]byte("agentaudit alert.incident\x00"), in.ID[:]...), in.Revision)))
}
