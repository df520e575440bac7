package anomaly

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/agentaudit/agentaudit/pkg/events"
)

var timingTools = []string{"crm_lookup", "send_email", "order_status", "kb_search", "sql_query", "read_file"}

// timingEvent is an ordinary event of one of so many users.
func timingEvent(o *Observation, rng *rand.Rand, users int, at int64) {
	u := rng.IntN(users)
	*o = Observation{
		Partition: int32(u % 4), Recorded: at + 1000, Time: at, Tenant: "tenant", Type: "tool.call", Action: "call", Outcome: events.Success,
		Agent: "support-agent", Tool: timingTools[rng.IntN(len(timingTools))], ResourceType: "customer", Rows: rng.Uint64N(20), DurationMillis: 100,
		Session: rng.Uint64(), Network: uint64(u)*7 + 1, Producer: "gateway",
	}
	if rng.IntN(2) == 0 {
		o.Type, o.Action, o.Tool, o.Rows, o.ResourceType = "llm.call", "chat", "", 0, ""
		o.Model, o.InputTokens, o.OutputTokens, o.CostMicroUSD = "gpt-5-mini", 1000+rng.Uint64N(1000), 200, 900
	}
	binary.LittleEndian.PutUint64(o.Subject[:], uint64(u)*0x9e3779b97f4a7c15+1)
	o.Subject[15] = 1
	binary.LittleEndian.PutUint64(o.Event[:], rng.Uint64())
	binary.LittleEndian.PutUint64(o.Event[8:], rng.Uint64())
}

// BenchmarkObserve is 10,000 users with an event each four seconds of event time or so, closing of minutes included.
func BenchmarkObserve(b *testing.B) {
	e, err := New(DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	e.Partitions([]int32{0, 1, 2, 3})
	rng := rand.New(rand.NewPCG(1, 1))
	const users, ahead = 10_000, 1 << 16
	all := make([]Observation, ahead)
	for i := range all {
		timingEvent(&all[i], rng, users, 0)
	}
	at := int64(1_767_225_600_000_000)
	seq := uint64(0)
	observe := func(n int) {
		for range n {
			o := &all[seq%ahead]
			o.Time, o.Recorded = at, at+1000
			o.Offset, o.ProducerSeq = int64(seq), seq
			e.Observe(o)
			at += 400
			seq++
		}
	}
	observe(200_000)
	b.ReportAllocs()
	b.ResetTimer()
	observe(b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkStatePerUser is the live heap of a million users who were all active, by the user.
func BenchmarkStatePerUser(b *testing.B) {
	const users = 1_000_000
	for range b.N {
		e, err := New(DefaultConfig())
		if err != nil {
			b.Fatal(err)
		}
		before := liveHeap()
		rng := rand.New(rand.NewPCG(1, 1))
		at := int64(1_767_225_600_000_000)
		var o Observation
		for i := range users {
			timingEvent(&o, rng, 1, at)
			o.Partition, o.Offset = 0, int64(i)
			binary.LittleEndian.PutUint64(o.Subject[:], uint64(i)*0x9e3779b97f4a7c15+1)
			e.Observe(&o)
			at += 5000
		}
		e.Clock(0, at+2*lateMicros)
		after := liveHeap()
		b.ReportMetric(float64(after-before)/users, "B/user")
		if e.Stats().Subjects != users {
			b.Fatal("not all are there")
		}
	}
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
