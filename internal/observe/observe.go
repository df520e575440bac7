// Package observe makes of a parsed event what pkg/anomaly sees of it. The detector, which reads Kafka, and backtests, which read what is past, fill
// observations with it, so that both see the same.
package observe

import (
	"encoding/binary"
	"net/netip"

	"github.com/dchest/siphash"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// Key is for hashes that only tell whether two values are the same. Without it, a hash in a snapshot would give an address away to whoever tries all of them.
type Key struct{ k0, k1 uint64 }

func (k Key) hash(value []byte) uint64 {
	if len(value) == 0 {
		return 0
	}
	return max(siphash.Hash(k.k0, k.k1, value), 1) // 0 means absent
}

// NewKey derives the key from the deployment's search key.
func NewKey(search [32]byte) Key {
	k0, k1 := binary.LittleEndian.Uint64(search[:8]), binary.LittleEndian.Uint64(search[8:16])
	label := []byte("agentaudit detector: equality of sessions, resources and networks")
	return Key{siphash.Hash(k0, k1, label), siphash.Hash(k1, k0, label)}
}

// Digest tells records apart. It is the same in all processes of a deployment, and nobody without its search key can make two records that share one.
func (k Key) Digest(record []byte) uint64 { return k.hash(record) }

// Filler fills observations from events. It belongs to one goroutine.
type Filler struct {
	key      Key
	texts    interner
	networks map[string]uint64
	scratch  [events.NumFields][]byte
}

// New returns a filler that remembers nothing yet.
func New(key Key) *Filler {
	f := &Filler{key: key, texts: interner{map[string]string{}}, networks: map[string]uint64{}}
	for i := range f.scratch {
		f.scratch[i] = make([]byte, 0, 64)
	}
	return f
}

// Value returns the value of a field without escapes, valid until the field is asked for again or the record changes.
func (f *Filler) Value(ev *events.Event, field events.Field) []byte {
	return ev.Value(field, f.scratch[field])
}

func (f *Filler) text(ev *events.Event, field events.Field) string {
	return f.texts.of(f.Value(ev, field))
}

// Fill overwrites ob with what is to be seen of an event. Where and when it was recorded, whose it is, and what was found in it is for the caller to add.
func (f *Filler) Fill(ob *anomaly.Observation, ev *events.Event) {
	*ob = anomaly.Observation{
		Time: ev.TimeMicros(), Event: ev.ID(),
		Tenant: f.text(ev, events.FieldTenant), Type: f.text(ev, events.FieldType), Action: f.text(ev, events.FieldAction), Outcome: ev.Outcome(),
		Agent: f.text(ev, events.FieldAgentID), AgentName: f.text(ev, events.FieldAgentName), Tool: f.text(ev, events.FieldToolName),
		Provider: f.text(ev, events.FieldModelProvider), Model: f.text(ev, events.FieldModelName), ResourceType: f.text(ev, events.FieldResourceType),
		ErrorType: f.text(ev, events.FieldErrorType), Risk: f.text(ev, events.FieldApprovalRisk), Decision: f.text(ev, events.FieldApprovalDecision),
		Policy:  f.text(ev, events.FieldApprovalPolicy),
		Session: f.key.hash(f.Value(ev, events.FieldSessionID)), Resource: f.key.hash(f.Value(ev, events.FieldResourceID)), Network: f.network(ev),
		InputTokens: ev.Uint(events.FieldInputTokens), OutputTokens: ev.Uint(events.FieldOutputTokens), Rows: ev.Uint(events.FieldRows),
		DurationMillis: ev.Uint(events.FieldDurationMS), CostMicroUSD: microUSD(ev.CostUSD()),
		Producer: f.text(ev, events.FieldProducerID), ProducerSeq: ev.Uint(events.FieldProducerSeq),
	}
}

// microUSD returns an amount in millionths, within what 64 bits hold.
func microUSD(usd float64) uint64 {
	const most = 1 << 62
	switch micro := usd*1e6 + 0.5; {
	case !(micro > 0): // NaN too
		return 0
	case micro >= most:
		return most
	default:
		return uint64(micro)
	}
}

// maxNetworks bounds what is remembered of addresses that were seen; beyond it the memory begins anew.
const maxNetworks = 1 << 16

// network returns the hash of the network of the event's address: /24 of IPv4, /48 of IPv6, so that another address of the same provider or office is nothing
// new. What is no address is a network by itself.
func (f *Filler) network(ev *events.Event) uint64 {
	text := f.Value(ev, events.FieldSourceIP)
	if len(text) == 0 {
		return 0
	}
	if known, ok := f.networks[string(text)]; ok {
		return known
	}
	var hash uint64
	if addr, err := netip.ParseAddr(string(text)); err == nil {
		addr = addr.Unmap().WithZone("")
		bits := 48
		if addr.Is4() {
			bits = 24
		}
		prefix, _ := addr.Prefix(bits) // these lengths fit
		network := prefix.Addr().As16()
		hash = f.key.hash(network[:])
	} else {
		hash = f.key.hash(text)
	}
	if len(f.networks) >= maxNetworks {
		clear(f.networks)
	}
	f.networks[string(text)] = hash
	return hash
}

// maxInterned bounds how many different texts are kept; beyond it the memory begins anew. Agents, tools and models are few, and a producer that makes up names
// costs what copies cost.
const maxInterned = 1 << 16

// interner makes strings that outlive the record, each once.
type interner struct{ known map[string]string }

func (in *interner) of(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if s, ok := in.known[string(b)]; ok {
		return s
	}
	if len(in.known) >= maxInterned {
		clear(in.known)
	}
	s := string(b)
	in.known[s] = s
	return s
}
