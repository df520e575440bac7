package anomaly

import (
	"encoding/binary"
	"errors"
	"slices"
)

// stateKinds are the kinds by their number in an encoded key. Numbers are for ever.
var stateKinds = []StateKind{"", StateSubject, StateAgent, StateTenant, StateProducer, StatePeers, StateIncident, StateEngine}

// errKey says nothing of the key: it may hold a pseudonym.
var errKey = errors.New("not the key of a state")

// Append appends the key in bytes: its kind, the subject, and tenant and entity behind their lengths.
func (k *Key) Append(dst []byte) []byte {
	dst = append(dst, byte(slices.Index(stateKinds, k.Kind)))
	dst = append(dst, k.Subject[:]...)
	for _, s := range []string{k.Tenant, k.Entity} {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

// ParseKey reads what Append has made.
func ParseKey(b []byte) (Key, error) {
	var k Key
	if len(b) < 1+len(k.Subject) || b[0] == 0 || int(b[0]) >= len(stateKinds) {
		return Key{}, errKey
	}
	k.Kind = stateKinds[b[0]]
	b = b[1+copy(k.Subject[:], b[1:]):]
	for _, s := range []*string{&k.Tenant, &k.Entity} {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) || n > maxNameBytes {
			return Key{}, errKey
		}
		*s, b = string(b[size:size+int(n)]), b[size+int(n):]
	}
	if len(b) > 0 {
		return Key{}, errKey
	}
	return k, nil
}

// EachSubject calls each with every person of whom there is a baseline, in no order; a person of two tenants may come twice.
func (e *Engine) EachSubject(each func(subject [16]byte)) {
	for key := range e.index {
		if key.kind == kindSubject {
			each(key.id)
		}
	}
}
