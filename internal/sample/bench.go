package sample

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/agentaudit/agentaudit/pkg/events"
)

// Bench renders the events that benchmarks use: about 470 bytes each, with a
// content of about 95 bytes, of users drawn evenly. Far faster than a Generator.
// Not safe for concurrent use.
type Bench struct {
	rng    *rand.Rand
	users  int
	micros int64
	n      uint64
	tenant []byte
	user   []byte
}

// benchTenants is how many tenants share the users.
const benchTenants = 8

// benchTypes are the types with action and the middle part of a record.
var benchTypes = []struct{ kind, action, middle string }{
	{"tool.call", "call", `"tool":{"name":"order_status"},"resource":{"type":"order","id":"SO-48213"},"rows":3`},
	{"llm.call", "chat", `"model":{"provider":"openai","name":"gpt-5-mini"},"usage":{"input_tokens":1431,"output_tokens":188,"cost_usd":0.00073}`},
	{"tool.call", "call", `"tool":{"name":"crm_lookup"},"resource":{"type":"customer","id":"C-10442"},"rows":1,"duration_ms":87`},
	{"message.agent", "reply", `"model":{"provider":"openai","name":"gpt-5-mini"},"duration_ms":1312`},
}

var benchTexts = []string{
	"The parcel was scanned in Rotterdam yesterday evening and should be at the door in three days.",
	"Order SO-48213 is on its way: last scan in Aarhus, about two days to go, nothing to do for us.",
	"Customer asks for a refund of the espresso grinder, photos are attached to the support ticket.",
	"The warranty runs two years from delivery; article KB-1042 of the help pages has all conditions.",
}

// NewBench makes a renderer for so many users (1 to 10 million). Times begin at
// start and go on by a millisecond an event.
func NewBench(seed uint64, users int, start time.Time) (*Bench, error) {
	if users < 1 || users > 10_000_000 {
		return nil, errors.New("sample.NewBench: users must be between 1 and 10000000")
	}
	return &Bench{rng: rand.New(rand.NewPCG(seed, 3)), users: users, micros: start.UnixMicro()}, nil
}

// AppendJSON appends the next event. It does not allocate if dst has room.
func (b *Bench) AppendJSON(dst []byte) []byte {
	at := time.UnixMicro(b.micros + int64(b.n)*1000).UTC()
	draw := b.rng.Uint64()
	user := int(draw % uint64(b.users))
	kind := &benchTypes[draw>>40%uint64(len(benchTypes))]
	text := benchTexts[draw>>50%uint64(len(benchTexts))]
	b.tenant = strconv.AppendInt(append(b.tenant[:0], "t-"...), int64(user%benchTenants), 10)
	b.user = strconv.AppendInt(append(b.user[:0], "u-"...), int64(user), 10)

	var random [10]byte
	for i, r := 0, b.rng.Uint64(); i < 8; i++ {
		random[2+i] = byte(r >> (8 * i))
	}
	dst = append(dst, `{"schema":"`+events.Schema+`","event_id":"`...)
	dst = events.UUIDv7(at, random).AppendTo(dst)
	dst = append(dst, `","time":"`...)
	dst = at.AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
	dst = append(append(dst, `","type":"`...), kind.kind...)
	dst = append(append(dst, `","action":"`...), kind.action...)
	dst = append(append(dst, `","outcome":"success","tenant":"`...), b.tenant...)
	dst = append(append(dst, `","user_id":"`...), b.user...)
	dst = append(dst, `","agent":{"id":"help"},"session_id":"s-`...)
	dst = strconv.AppendUint(dst, b.n>>4, 36)
	dst = append(append(dst, `",`...), kind.middle...)
	dst = append(dst, `,"content":{"output":"`...)
	dst = append(append(dst, text...), `"}}`...)
	b.n++
	return dst
}

// AppendKey appends the Kafka key of the event that AppendJSON made last.
func (b *Bench) AppendKey(dst []byte) []byte { return events.Key(dst, b.tenant, b.user) }
