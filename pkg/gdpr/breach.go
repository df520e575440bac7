package gdpr

import "time"

// Addressee is who is told of a breach.
type Addressee string

// Addressees of notices (GDPR Art. 33 and 34).
const (
	ToAuthority Addressee = "authority"
	ToSubjects  Addressee = "subjects"
)

// Valid says whether it is one of these.
func (a Addressee) Valid() bool { return a == ToAuthority || a == ToSubjects }

// BreachScope says which entries a breach affects: those for which all of it is true. Empty members do not restrict.
type BreachScope struct {
	Since        *time.Time `json:"since,omitempty"` // of the events' times
	Until        *time.Time `json:"until,omitempty"` // excluded
	Tenant       string     `json:"tenant,omitempty"`
	Agent        string     `json:"agent,omitempty"` // its id
	Tool         string     `json:"tool,omitempty"`
	Type         string     `json:"type,omitempty"`
	SessionToken string     `json:"session_token,omitempty"` // as it stands in the entries
	Listed       int        `json:"listed,omitempty"`        // how many events were listed one by one
}

// BreachExtent is what a breach affects.
type BreachExtent struct {
	At       time.Time   `json:"at"`      // when it was counted
	Entries  uint64      `json:"entries"` // affected
	Subjects uint64      `json:"subjects"`
	Erased   uint64      `json:"erased"`             // of the subjects: whom the vault does not know any more
	Rejected *uint64     `json:"rejected,omitempty"` // entries of that time that could not be read and may be anybody's; only where time alone is the scope
	Logs     []BreachLog `json:"logs"`
}

// BreachLog is where entries are that a breach affects.
type BreachLog struct {
	Log     string `json:"log"`
	Entries uint64 `json:"entries"`
	First   uint64 `json:"first_seq"`
	Last    uint64 `json:"last_seq"`
	// The log's latest checkpoint when it was counted: what shows that the entries have not been changed since.
	Size       uint64 `json:"checkpoint_size"` // 0: there was none
	Root       string `json:"checkpoint_root,omitempty"`
	Checkpoint string `json:"checkpoint,omitempty"` // signed
	Covered    bool   `json:"covered"`              // whether it covers the last of the entries
}

// BreachNotice says who was told of a breach, and when.
type BreachNotice struct {
	To        Addressee `json:"to"`
	Reference string    `json:"reference"`
	At        time.Time `json:"at"`
	// BeforeDeadline is how long before the deadline that was; negative: after it.
	BeforeDeadline float64 `json:"before_deadline_seconds"`
}

// BreachReport is what is left to say about a breach once it is closed.
type BreachReport struct {
	Breach   string         `json:"breach"`
	Reason   string         `json:"reason"`
	Detected time.Time      `json:"detected"`
	Due      time.Time      `json:"due"` // when the authority must have been told
	Opened   time.Time      `json:"opened"`
	Scope    BreachScope    `json:"scope"`
	Opening  BreachExtent   `json:"at_opening"`
	Closing  BreachExtent   `json:"at_closing"`
	Notices  []BreachNotice `json:"notices"`
	Closed   time.Time      `json:"closed"`
	Why      string         `json:"closed_reason"`
}
