package engine_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/agentaudit/agentaudit/internal/engine/enginetest"
)

// BenchmarkSelect1 is the cost of a request.
func BenchmarkSelect1(b *testing.B) {
	for name, pairs := range map[string][]string{"plain": nil, "readonly": {"readonly", "1"}, "session": {"session_id", "bench"}} {
		b.Run(name, func(b *testing.B) {
			address := shared.URL + "/?" + params(pairs...).Encode()
			for b.Loop() {
				post(b, shared, address, strings.NewReader("SELECT 1"))
			}
		})
	}
}

// BenchmarkInsert stores Native blocks of rows of about 900 bytes with incompressible content.
func BenchmarkInsert(b *testing.B) {
	for _, rows := range []int{1_000, 10_000, 50_000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			p := enginetest.Start(b, enginetest.Options{})
			post(b, p, p.URL+"/", strings.NewReader("CREATE TABLE b (seq UInt64, time DateTime64(6), hash FixedString(32) CODEC(NONE), tenant LowCardinality(String), entry String, content String CODEC(NONE)) ENGINE = MergeTree ORDER BY seq SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1"))
			block := nativeBlock(b, rows)
			address := p.URL + "/?" + params("query", "INSERT INTO b FORMAT Native").Encode()
			n := 0
			for b.Loop() {
				post(b, p, address+fmt.Sprintf("&insert_deduplication_token=%d", n), bytes.NewReader(block))
				n++
			}
			b.ReportMetric(float64(n)*float64(rows)/b.Elapsed().Seconds(), "rows/s")
			b.SetBytes(int64(len(block)))
		})
	}
}

func post(b *testing.B, p *enginetest.Proc, address string, body io.Reader) {
	b.Helper()
	req, err := http.NewRequest(http.MethodPost, address, body)
	if err != nil {
		b.Fatal(err)
	}
	req.SetBasicAuth(p.User, p.Password)
	res, err := client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		b.Fatal(res.Status, string(text), err)
	}
}

func nativeBlock(b *testing.B, rows int) []byte {
	b.Helper()
	var seq proto.ColUInt64
	times := new(proto.ColDateTime64).WithPrecision(6)
	hash := proto.ColFixedStr{Size: 32}
	tenant := new(proto.ColStr).LowCardinality()
	var entry, content proto.ColStr
	noise := make([]byte, 300)
	x := uint64(1)
	for i := range rows {
		for j := range noise {
			x = x*6364136223846793005 + 1442695040888963407
			noise[j] = byte(x >> 56)
		}
		seq.Append(uint64(i))
		times.AppendRaw(proto.DateTime64(i))
		hash.Append(noise[:32])
		tenant.Append("acme")
		entry.Append(fmt.Sprintf(`{"v":1,"log":"agent.events/3","seq":%d,"prev":"%x","kind":"event","event":{%s}}`, i, noise[:32], strings.Repeat("x", 350)))
		content.AppendBytes(noise)
	}
	if err := tenant.Prepare(); err != nil {
		b.Fatal(err)
	}
	var buf proto.Buffer
	block := proto.Block{Columns: 6, Rows: rows}
	if err := block.EncodeRawBlock(&buf, 0, []proto.InputColumn{{Name: "seq", Data: &seq}, {Name: "time", Data: times}, {Name: "hash", Data: &hash},
		{Name: "tenant", Data: tenant}, {Name: "entry", Data: &entry}, {Name: "content", Data: &content}}); err != nil {
		b.Fatal(err)
	}
	return buf.Buf
}
