package store

import (
	"strconv"

	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Threat is how dangerous the findings of an event are. The numbers are those of the
// Enum8 column `threat`.
type Threat uint8

// The threats; their names in entries and in SQL are none, low, medium, high and critical.
const (
	ThreatNone Threat = iota
	ThreatLow
	ThreatMedium
	ThreatHigh
	ThreatCritical
)

// Row is one entry with the values of its typed columns. Append copies everything,
// so that the Row and what it points to can be reused at once.
type Row struct {
	Header     *chain.Header
	Leaf       chain.Hash
	Entry      []byte
	Ciphertext []byte       // nil if the entry has no content
	Algorithm  string       // of the content; "" if there is none
	Keys       []gdpr.KeyID // that the content needs, in the entry's order

	Event        *events.Event // nil for rejected and control
	Subject      [16]byte      // zero if there is none
	DataSubjects [][16]byte
	Approver     [16]byte // pseudonym; zero if there is none

	// As they stand in the entry (unescaped): 32 hex digits of a token, or the clear
	// text if the field's policy says so; nil if absent or sealed.
	SessionID, ConversationID, IP, ResourceID []byte

	Findings         []string
	Threat           Threat
	PublicAttributes bool // whether the event's attributes may stand in their column (field policy)
}

// String returns the threat as it stands in entries and in SQL.
func (t Threat) String() string {
	switch t {
	case ThreatNone:
		return "none"
	case ThreatLow:
		return "low"
	case ThreatMedium:
		return "medium"
	case ThreatHigh:
		return "high"
	case ThreatCritical:
		return "critical"
	}
	return "threat " + strconv.Itoa(int(t))
}
