package gdpr

// RequestKind is what a person asks for.
type RequestKind string

// Kinds of requests (GDPR Art. 15 and 20, 17, 18).
const (
	RequestExport      RequestKind = "export"
	RequestErasure     RequestKind = "erasure"
	RequestRestriction RequestKind = "restriction"
)

// Valid says whether it is one of these.
func (k RequestKind) Valid() bool {
	return k == RequestExport || k == RequestErasure || k == RequestRestriction
}

// RequestState is how far a request is.
type RequestState string

// States of requests. Received and waiting ones go on by themselves or by an operator's word; the last three are ends.
const (
	StateReceived   RequestState = "received"    // nobody has checked yet that it is the person's
	StateVerified   RequestState = "verified"    // to be carried out
	StateInProgress RequestState = "in_progress" // being carried out
	StateWaiting    RequestState = "waiting"     // goes on at a date
	StateCompleted  RequestState = "completed"
	StateRefused    RequestState = "refused" // with a reason
	StateCancelled  RequestState = "cancelled"
)

// RequestStates returns all states.
func RequestStates() []RequestState {
	return []RequestState{StateReceived, StateVerified, StateInProgress, StateWaiting, StateCompleted, StateRefused, StateCancelled}
}

// Ended says whether nothing more happens.
func (s RequestState) Ended() bool {
	return s == StateCompleted || s == StateRefused || s == StateCancelled
}
