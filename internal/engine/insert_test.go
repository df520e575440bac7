package engine_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/agentaudit/agentaudit/internal/engine/enginetest"
)

// wire is a request on its way, byte for byte.
type wire struct {
	net.Conn
	t *testing.T
}

// begin sends the head of an INSERT whose body is to come.
func begin(t *testing.T, sql, bodyHeader string, pairs ...string) *wire {
	t.Helper()
	return beginOn(t, shared, sql, bodyHeader, pairs...)
}

func beginOn(t *testing.T, p *enginetest.Proc, sql, bodyHeader string, pairs ...string) *wire {
	t.Helper()
	c, err := net.Dial("tcp", p.Address)
	if err != nil {
		t.Fatal(err)
	}
	v := params(append(pairs, "query", sql)...)
	w := &wire{c, t}
	w.send(fmt.Sprintf("POST /?%s HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\n%s\r\n\r\n", v.Encode(),
		base64.StdEncoding.EncodeToString([]byte(p.User+":"+p.Password)), bodyHeader))
	return w
}

func (w *wire) send(s string) {
	w.t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		w.t.Fatal(err)
	}
}

// answer reads until the server closes or a moment passes without a byte.
func (w *wire) answer() string {
	w.t.Helper()
	if err := w.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := w.Read(b)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b[:n])
}

func running(t *testing.T, comment string) string {
	t.Helper()
	return query(t, shared, "SELECT count() FROM system.processes WHERE Settings['log_comment'] = '"+comment+"'")
}

// An insert is in system.processes from its first byte to its end, and a body that is cut stores
// nothing, wherever it is cut.
func TestCutBodyStoresNothing(t *testing.T) {
	name := table(t, shared, "a UInt64, b String")
	row := "1," + strings.Repeat("x", 1000) + "\n"
	for i, x := range []struct{ header, body string }{
		{"Content-Length: 3000000", ""},
		{"Content-Length: 3000000", row},
		{"Content-Length: 3000000", strings.Repeat(row, 2000)},
		{"Content-Length: 3000000", strings.Repeat(row, 1048) + row[:500]},
		{"Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n", len(row), row)},
		{"Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s", 2*len(row), row)},
	} {
		comment := fmt.Sprintf("cut-%s-%d", name, i)
		w := begin(t, "INSERT INTO "+name+" FORMAT CSV", x.header, "log_comment", comment)
		w.send(x.body)
		waitFor(t, func() bool { return running(t, comment) == "1" })
		w.Close()
		waitFor(t, func() bool { return running(t, comment) == "0" })
		if got := query(t, shared, "SELECT count() FROM "+name); got != "0" {
			t.Fatalf("cut %d: %s rows stored", i, got)
		}
	}
	w := begin(t, "INSERT INTO "+name+" FORMAT CSV", fmt.Sprintf("Content-Length: %d", 2*len(row)), "log_comment", name)
	w.send(row)
	waitFor(t, func() bool { return running(t, name) == "1" })
	w.send(row)
	if got := w.answer(); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("the whole body: %s", got)
	}
	w.Close()
	if got := query(t, shared, "SELECT count() FROM "+name); got != "2" {
		t.Errorf("%s rows stored of 2", got)
	}
}

// Data whose arrival takes longer than max_execution_time is refused.
func TestSlowBody(t *testing.T) {
	name := table(t, shared, "a UInt64")
	w := begin(t, "INSERT INTO "+name+" FORMAT CSV", "Content-Length: 4", "max_execution_time", "1")
	defer w.Close()
	w.send("1\n")
	if got := w.answer(); !strings.Contains(got, "Code: 159.") {
		t.Errorf("answer: %s", got)
	}
	if got := query(t, shared, "SELECT count() FROM "+name); got != "0" {
		t.Errorf("%s rows stored", got)
	}
}

// Whatever bytes data consists of, they are stored, and never run.
func TestDataIsNeverSQL(t *testing.T) {
	name := table(t, shared, "a UInt64, b String")
	values := []string{
		"\n\nDROP TABLE " + name + ";\n\n", "a\x00b\n\n\x00", ";\n\nSELECT 1", "\r\n\r\n", "'", "\\", "--", "/*", "",
		strings.Repeat("\n\nINSERT INTO "+name+" VALUES (99, 'x');\n\n", 1000),
	}
	var a proto.ColUInt64
	var b proto.ColStr
	for i, v := range values {
		a.Append(uint64(i))
		b.Append(v)
	}
	var buf proto.Buffer
	block := proto.Block{Columns: 2, Rows: len(values)}
	if err := block.EncodeRawBlock(&buf, 0, []proto.InputColumn{{Name: "a", Data: &a}, {Name: "b", Data: &b}}); err != nil {
		t.Fatal(err)
	}
	if r := send(t, shared, params("query", "INSERT INTO "+name+" FORMAT Native"), bytes.NewReader(buf.Buf)); r.status != 200 {
		t.Fatalf("Native: %d %s", r.status, r.body)
	}
	// The same in the body, behind the statement.
	query(t, shared, "INSERT INTO "+name+" FORMAT Native\n"+string(buf.Buf))
	var text strings.Builder
	for i, v := range values {
		fmt.Fprintf(&text, "(%d, '%s'),", i, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v))
	}
	query(t, shared, "INSERT INTO "+name+" VALUES "+strings.TrimSuffix(text.String(), ","))
	for i, v := range values {
		got := send(t, shared, params(), strings.NewReader(fmt.Sprintf("SELECT b FROM %s WHERE a = %d FORMAT RowBinary", name, i))).body
		var want proto.Buffer
		for range 3 {
			want.PutString(v)
		}
		if got != string(want.Buf) {
			t.Errorf("value %d came back as %.100q", i, got)
		}
	}
}

// A bad row anywhere in a body stores none of it.
func TestBadRowStoresNothing(t *testing.T) {
	name := table(t, shared, "a UInt64")
	r := send(t, shared, params("query", "INSERT INTO "+name+" FORMAT CSV"), strings.NewReader(strings.Repeat("1\n", 50_000)+"x\n"))
	if r.status == 200 || r.code() != "27" && r.code() != "117" && r.code() != "72" {
		t.Errorf("%d %s", r.status, r.body)
	}
	r = send(t, shared, params("query", "INSERT INTO "+name+" FORMAT Native"), strings.NewReader("\x01\x05\x01a\x06UInt64\x00"))
	if r.status == 200 {
		t.Error("half a block was accepted")
	}
	if got := query(t, shared, "SELECT count() FROM "+name); got != "0" {
		t.Errorf("%s rows stored", got)
	}
}

// A token makes an insert take effect once, and an insert of nothing is no error.
func TestDeduplicationToken(t *testing.T) {
	name := table(t, shared, "a UInt64")
	query(t, shared, "ALTER TABLE "+name+" MODIFY SETTING non_replicated_deduplication_window = 100")
	for i, want := range []string{"1", "1", "2"} {
		query(t, shared, fmt.Sprintf("INSERT INTO %s FORMAT CSV\n%d", name, i), "insert_deduplicate", "1", "insert_deduplication_token", want)
		if got := query(t, shared, "SELECT count() FROM "+name); got != want {
			t.Errorf("after insert %d: %s rows, want %s", i, got, want)
		}
	}
	query(t, shared, "INSERT INTO "+name+" FORMAT CSV")
}

// A statement whose client has gone is killed.
func TestClientGone(t *testing.T) {
	for _, sql := range []string{
		"SELECT sum(sipHash64(number)) FROM numbers(1000000000000)",                  // nothing was answered yet
		"SELECT number FROM numbers(1000000000000) FORMAT TSV",                       // streaming
		"SELECT count() FROM numbers(1000000000000) GROUP BY number % 3 WITH TOTALS", // not streaming
	} {
		ctx, cancel := context.WithCancel(context.Background())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, shared.URL+"/?log_comment=gone", strings.NewReader(sql))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(shared.User, shared.Password)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if res, err := client.Do(req); err == nil {
				_, _ = io.CopyN(io.Discard, res.Body, 100_000)
				<-ctx.Done()
				res.Body.Close()
			}
		}()
		waitFor(t, func() bool { return running(t, "gone") == "1" })
		cancel()
		<-ended
		waitFor(t, func() bool { return running(t, "gone") == "0" })
	}
}

// A running query id is not used twice.
func TestQueryID(t *testing.T) {
	name := table(t, shared, "a UInt64")
	w := begin(t, "INSERT INTO "+name+" FORMAT CSV", "Content-Length: 2", "query_id", "twice", "log_comment", name)
	defer w.Close()
	waitFor(t, func() bool { return running(t, name) == "1" })
	refused(t, shared, "216", "SELECT 1", "query_id", "twice")
	w.send("1\n")
	w.answer()
	waitFor(t, func() bool {
		return send(t, shared, params("query_id", "twice"), strings.NewReader("SELECT 1")).status == 200
	})
}

// When every place is taken a statement waits, and runs as soon as one is free.
func TestPlacesAreBounded(t *testing.T) {
	const places = 64
	p := enginetest.Start(t, enginetest.Options{})
	query(t, p, "CREATE TABLE b (a UInt64) ENGINE = MergeTree ORDER BY a")
	stuck := make([]*wire, places)
	for i := range stuck {
		stuck[i] = beginOn(t, p, "INSERT INTO b FORMAT CSV", "Content-Length: 2", "log_comment", "stuck")
		defer stuck[i].Close()
	}
	full := func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, strings.NewReader("SELECT 1"))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(p.User, p.Password)
		res, err := client.Do(req)
		if err == nil {
			res.Body.Close()
		}
		return err != nil
	}
	waitFor(t, full)
	ended := make(chan string)
	go func() { ended <- send(t, p, params(), strings.NewReader("SELECT 'waited'")).body }()
	stuck[0].send("1\n")
	if got := <-ended; got != "waited\n" {
		t.Errorf("answer: %s", got)
	}
}
