package ingest

import (
	"fmt"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/sample"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// BenchmarkSeal is everything between a fetched record and the encoded columns: parse,
// people, tokens, content, entry, hash, columns. One operation is one event of about
// 470 bytes.
func BenchmarkSeal(b *testing.B) {
	for _, users := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) {
			s := newSealing(b, DefaultFieldPolicies())
			render, err := sample.NewBench(1, users, time.Now())
			if err != nil {
				b.Fatal(err)
			}
			const perFetch = 5000
			fetch := &kafkaio.Batch{HighWatermark: 1 << 40}
			for range perFetch {
				fetch.Records = append(fetch.Records, kafkaio.Record{Value: render.AppendJSON(nil), Key: render.AppendKey(nil)})
			}
			out := make(chan *batch)
			pool := newBlockPool(2)
			done := make(chan struct{})
			go func() { // ends with out
				defer close(done)
				for full := range out {
					pool.give(full.block)
				}
			}()
			asm := &assembler{cfg: DefaultConfig(), topic: "agent.events", sealer: s.sealer, hasher: chain.NewHasher(), pool: pool, out: out,
				head: chain.Head{Log: "agent.events/0", Size: 1, NextEpoch: chain.EpochOf(time.Now())}, now: time.Now}
			next := int64(0)
			feed := func() {
				for i := range fetch.Records {
					fetch.Records[i].Offset = next
					next++
				}
				fetch.Next = next
				if err := asm.add(b.Context(), fetch); err != nil {
					b.Fatal(err)
				}
			}
			feed() // everybody is known, every buffer has grown
			b.ReportAllocs()
			b.SetBytes(int64(len(fetch.Records[0].Value)))
			for n := 0; b.Loop(); n++ {
				if n%perFetch == 0 {
					feed()
				}
			}
			b.StopTimer()
			asm.drop()
			close(out)
			<-done
		})
	}
}
