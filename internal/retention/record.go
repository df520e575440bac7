package retention

import (
	"strconv"
	"time"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// typePrune is the type of the entry that says what was dropped.
const typePrune = "retention.prune"

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func newPrune(cut Cut, signed []byte, reason string) vault.Prune {
	at := now()
	return vault.Prune{Log: cut.Log, What: cut.What, Behind: cut.Behind, Note: string(signed), Record: [16]byte(events.NewUUID(at)), Reason: reason, At: at}
}

// recordOf is what the log says of a prune.
func recordOf(prune vault.Prune) events.Record {
	return events.Record{
		EventID: events.UUID(prune.Record), Time: prune.At, Type: typePrune, Action: "prune", Outcome: events.Success,
		Resource:   events.Resource{Type: "log", ID: prune.Log},
		Attributes: map[string]string{"what": prune.What, "behind": strconv.FormatUint(prune.Behind, 10), "reason": prune.Reason, "note": prune.Note},
	}
}
