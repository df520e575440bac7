package chain

import (
	"fmt"
	"strconv"
)

// Fault is what makes a log bad, at the first place where it shows.
type Fault struct {
	Log    string
	Seq    uint64
	Reason string // quotes nothing of an entry but numbers
}

// Error names log, seq and reason.
func (f *Fault) Error() string {
	return f.Log + " at seq " + strconv.FormatUint(f.Seq, 10) + ": " + f.Reason
}

// Verifier follows one log entry by entry. It belongs to one goroutine.
type Verifier struct {
	head   Head
	kind   Kind
	link   Link // of the entry at hand
	hasher *Hasher
	fault  *Fault
}

// NewVerifier returns a verifier that expects entry 0 of log.
func NewVerifier(log string) *Verifier { return NewVerifierAt(EmptyHead(log)) }

// NewVerifierAt returns a verifier that expects the entry after head. The caller vouches for head.
func NewVerifierAt(head Head) *Verifier { return &Verifier{head: head, hasher: NewHasher()} }

// Head returns the head that the entries checked so far make.
func (v *Verifier) Head() Head { return v.head }

// Kind returns the kind of the entry that was checked last.
func (v *Verifier) Kind() Kind { return v.kind }

// Check checks the next entry of the log: its hash, its link, its place, and the rules that tie it to the entries before. seq and leaf are what
// stands beside the entry in the store. A bad entry gives a *Fault; after the first one the verifier stays at the last good entry and repeats the
// fault, because nothing behind a fault can be vouched for.
func (v *Verifier) Check(seq uint64, entry []byte, leaf Hash) error {
	v.link.Read(entry, v.hasher.Leaf(entry))
	return v.CheckLink(seq, leaf, &v.link)
}

// CheckLink is Check for an entry that was taken apart before: many can be at a time, while they are checked one by one. link must have been read with the
// entry's own leaf hash.
func (v *Verifier) CheckLink(seq uint64, leaf Hash, link *Link) error {
	if v.fault != nil {
		return v.fault
	}
	expected := v.head.Size
	switch {
	case v.head.Closed:
		return v.fail(seq, "entry after the close entry")
	case seq > expected:
		return v.fail(expected, fmt.Sprintf("seq %d expected, %d found", expected, seq))
	case seq < expected && seq == expected-1:
		return v.fail(seq, "double: a second entry at this seq")
	case seq < expected:
		return v.fail(seq, fmt.Sprintf("seq %d expected, %d found", expected, seq))
	}
	if link.leaf != leaf {
		return v.fail(seq, "leaf hash differs")
	}
	return v.followLink(seq, link)
}

// Next checks entry as the next one of the log, where nothing stands beside it. leaf must be its leaf hash, which the caller has computed: many can at a
// time, while entries are checked one by one. Otherwise it is as Check.
func (v *Verifier) Next(entry []byte, leaf Hash) error {
	if v.fault != nil {
		return v.fault
	}
	v.link.Read(entry, leaf)
	return v.followLink(v.head.Size, &v.link)
}

// Follow checks the entry that link was read from as the next one of the log. It is Next without what an entry shows by itself, which is most of it and
// needs no order.
func (v *Verifier) Follow(link *Link) error {
	if v.fault != nil {
		return v.fault
	}
	return v.followLink(v.head.Size, link)
}

// followLink checks what the entry itself says.
func (v *Verifier) followLink(seq uint64, l *Link) error {
	if v.head.Closed {
		return v.fail(seq, "entry after the close entry")
	}
	if l.malformed != nil {
		return v.fail(seq, l.malformed.Error())
	}
	if reason := v.contradiction(&l.header); reason != "" {
		return v.fail(seq, reason)
	}
	if l.contradiction != nil {
		return v.fail(seq, l.contradiction.Error())
	}
	v.head, v.kind = l.head, l.header.Kind
	return nil
}

// Link is what one entry shows by itself: its header, and the head that it makes of a log in which it is good. Many can be read at a time, for a Verifier to
// follow one by one. It holds nothing of the entry's memory. The zero Link can be read into, again and again.
type Link struct {
	log           string // of the last entry that had a header
	leaf          Hash
	header        Header
	head          Head
	malformed     error // the entry has no header
	contradiction error // the header is one, but the entry contradicts itself
}

// Leaf returns the leaf hash that the link was read with.
func (l *Link) Leaf() Hash { return l.leaf }

// Read takes an entry apart. leaf must be its leaf hash.
func (l *Link) Read(entry []byte, leaf Hash) {
	var body []byte
	l.leaf, l.contradiction = leaf, nil
	if body, l.malformed = parseHeader(entry, &l.header, l.log); l.malformed == nil {
		l.log = l.header.Log
		l.contradiction = headAfter(&l.head, &l.header, body, leaf)
	}
}

func (v *Verifier) fail(seq uint64, reason string) error {
	v.fault = &Fault{Log: v.head.Log, Seq: seq, Reason: reason}
	return v.fault
}

// contradiction says what in the header of the next entry contradicts the entries before, or "".
func (v *Verifier) contradiction(h *Header) (reason string) {
	head := &v.head
	switch {
	case h.Log != head.Log:
		return "entry belongs to another log"
	case h.Seq != head.Size:
		return fmt.Sprintf("seq %d expected, the entry itself says %d", head.Size, h.Seq)
	case h.Prev != head.Leaf:
		return "prev does not match"
	case h.Seq == 0 && h.Kind != KindControl:
		return "entry 0 is not an open entry"
	case h.Epoch != head.NextEpoch:
		return fmt.Sprintf("epoch %d expected, %d found", head.NextEpoch, h.Epoch)
	case h.Seq == 0:
		return ""
	case h.Kind == KindControl && h.Source.Next != head.Next:
		return fmt.Sprintf("src.next %d expected, %d found", head.Next, h.Source.Next)
	case h.Kind == KindControl:
		return ""
	case h.Source.Offset < head.Next:
		return fmt.Sprintf("src.offset %d or more expected, %d found", head.Next, h.Source.Offset)
	case h.Source.Next <= h.Source.Offset:
		return fmt.Sprintf("src.next %d does not follow src.offset %d", h.Source.Next, h.Source.Offset)
	}
	return ""
}
