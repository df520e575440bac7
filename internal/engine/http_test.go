package engine_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

func TestPlainRequests(t *testing.T) {
	p := shared
	f := func(method, path, auth, want string, status int) {
		t.Helper()
		req, err := http.NewRequest(method, p.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if auth != "" {
			req.SetBasicAuth(p.User, auth)
		}
		if r := do(t, req); r.status != status || !strings.Contains(r.body, want) {
			t.Errorf("%s %s: %d %q", method, path, r.status, r.body)
		}
	}
	f("GET", "/ping", "", "Ok.\n", 200)
	f("GET", "/replicas_status", "", "Ok.\n", 200)
	f("GET", "/", "", "Ok.\n", 200)
	f("GET", "/play", "", "There is no handle /play", 404)
	f("PUT", "/?query=SELECT+1", p.Password, "", 405)
	f("GET", "/?query=SELECT+1", p.Password, "1\n", 200)
	f("GET", "/?query=SELECT+1", "", "AUTHENTICATION_FAILED", 403)
	f("GET", "/?query=SELECT+1", "wrong", "AUTHENTICATION_FAILED", 403)
	f("GET", "/?query=SELECT+1&user="+p.User+"&password="+p.Password, "", "1\n", 200)
	f("GET", "/?query=SELECT+1&user="+p.User+"x&password="+p.Password, "", "AUTHENTICATION_FAILED", 403)
	f("GET", "/?query=CREATE+TABLE+x+(a+Int)+ENGINE=Memory", p.Password, "READONLY", 500)
	f("POST", "/", p.Password, "SYNTAX_ERROR", 400)

	req, err := http.NewRequest("POST", p.URL, strings.NewReader("SELECT 1"))
	if err != nil {
		t.Fatal(err)
	}
	if r := do(t, req, "X-ClickHouse-User", p.User, "X-ClickHouse-Key", p.Password); r.body != "1\n" {
		t.Errorf("header credentials: %d %s", r.status, r.body)
	}
}

func TestHeaders(t *testing.T) {
	r := send(t, shared, params("query_id", "my-id", "default_format", "JSONEachRow"), strings.NewReader("SELECT number FROM numbers(3)"))
	for name, want := range map[string]string{
		"X-ClickHouse-Query-Id": "my-id", "X-ClickHouse-Format": "JSONEachRow",
		"Content-Type": "application/x-ndjson; charset=UTF-8",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"X-ClickHouse-Timezone", "X-ClickHouse-Server-Display-Name", "X-ClickHouse-Summary"} {
		if r.header.Get(name) == "" {
			t.Errorf("%s is missing", name)
		}
	}
	name := table(t, shared, "a UInt64")
	r = send(t, shared, params("query", "INSERT INTO "+name+" FORMAT CSV"), strings.NewReader("1\n2\n3\n"))
	var summary map[string]string
	if err := json.Unmarshal([]byte(r.header.Get("X-ClickHouse-Summary")), &summary); err != nil || summary["written_rows"] != "3" {
		t.Errorf("summary of an insert: %s %v", r.header.Get("X-ClickHouse-Summary"), err)
	}
	r = send(t, shared, params("wait_end_of_query", "1"), strings.NewReader("SELECT sum(a) FROM "+name))
	if err := json.Unmarshal([]byte(r.header.Get("X-ClickHouse-Summary")), &summary); err != nil || summary["read_rows"] != "3" {
		t.Errorf("summary of a query: %s %v", r.header.Get("X-ClickHouse-Summary"), err)
	}
}

// Every format gives the same answer whether the engine streams or not, and however many blocks
// there are.
func TestFormats(t *testing.T) {
	const sql = "SELECT number AS a, toString(number) AS b FROM numbers(150000)"
	for _, format := range []string{"TabSeparated", "TSVWithNames", "CSV", "CSVWithNames", "JSON", "JSONCompact", "JSONEachRow", "JSONColumns",
		"RowBinary", "RowBinaryWithNamesAndTypes", "Native", "Values", "XML", "Parquet", "ArrowStream", "PrettyCompact", "Markdown"} {
		byClause := query(t, shared, sql+" FORMAT "+format, "max_block_size", "10000")
		byParameter := query(t, shared, sql, "max_block_size", "10000", "default_format", format)
		waited := query(t, shared, sql, "max_block_size", "10000", "default_format", format, "wait_end_of_query", "1")
		if format == "JSON" || format == "XML" || format == "JSONCompact" { // they tell how long it took
			n := strings.Index(byClause, "statistics")
			byClause, byParameter, waited = byClause[:n], byParameter[:n], waited[:n]
		}
		if byClause != byParameter || byClause != waited {
			t.Errorf("%s: answers of %d, %d and %d bytes", format, len(byClause), len(byParameter), len(waited))
		}
		if n := strings.Count(byClause, "149999"); n == 0 && !strings.HasPrefix(format, "RowBinary") && format != "Native" && format != "PrettyCompact" && format != "Parquet" && format != "ArrowStream" {
			t.Errorf("%s: the last row is missing", format)
		}
	}
	if got := query(t, shared, "SELECT number % 2 AS a, count() FROM numbers(4) GROUP BY a WITH TOTALS ORDER BY a FORMAT TSV"); got != "0\t2\n1\t2\n\n0\t4" {
		t.Errorf("totals: %q", got)
	}
	refused(t, shared, "73", "SELECT 1 FORMAT NoSuch")
	if r := send(t, shared, params(), strings.NewReader("SELECT 1 WHERE 0")); r.status != 200 || r.body != "" || r.header.Get("Content-Length") != "0" {
		t.Errorf("an empty answer: %+v", r)
	}
}

func TestParameters(t *testing.T) {
	if got := query(t, shared, "SELECT {x:String}, {n:UInt8}", "param_x", `it's; DROP TABLE\n\nx`, "param_n", "7"); got != `it\'s; DROP TABLE\n\nx`+"\t7" {
		t.Errorf("%q", got)
	}
	refused(t, shared, "456", "SELECT {x:String}")
	name := table(t, shared, "a String")
	query(t, shared, "INSERT INTO {t:Identifier} VALUES ('v')", "param_t", name)
	if got := query(t, shared, "SELECT a FROM "+name); got != "v" {
		t.Errorf("%q", got)
	}
}

func TestSettingsBelongToTheRequest(t *testing.T) {
	const read = "SELECT getSetting('max_threads'), getSetting('async_insert')"
	own := query(t, shared, read)
	if !strings.HasSuffix(own, "\tfalse") {
		t.Errorf("async_insert is on by default: %s", own)
	}
	if got := query(t, shared, read, "max_threads", "7", "async_insert", "1"); got != "7\ttrue" {
		t.Errorf("with settings: %s", got)
	}
	query(t, shared, "SET max_threads = 9")
	for range 5 {
		if got := query(t, shared, read); got != own {
			t.Errorf("another request's settings show: %s instead of %s", got, own)
		}
	}
	refused(t, shared, "115", "SELECT 1", "no_such_setting", "1")
	refused(t, shared, "81", "SELECT 1", "database", "no_such")
	if got := query(t, shared, "SELECT currentDatabase()", "database", "system"); got != "system" {
		t.Errorf("database: %s", got)
	}
	if got := query(t, shared, "SELECT currentDatabase()"); got != "default" {
		t.Errorf("database of the next request: %s", got)
	}
	refused(t, shared, "511", "SELECT 1", "role", "r")
	refused(t, shared, "48", "SELECT 1", "dialect", "kusto")
	refused(t, shared, "48", "SET dialect='kusto'")
}

func TestMultipleStatementsAreRefused(t *testing.T) {
	name := table(t, shared, "a Int64")
	for _, sql := range []string{
		"SELECT 1; SELECT 2",
		"SELECT 1;\n\nDROP TABLE " + name,
		"SELECT 1; DROP TABLE " + name + "; garbage(",
		"INSERT INTO " + name + " VALUES (2); DROP TABLE " + name,
		"INSERT INTO " + name + " VALUES (2); INSERT INTO " + name + " VALUES (3)",
		"INSERT INTO " + name + " SELECT 1; DROP TABLE " + name,
	} {
		refused(t, shared, "62", sql)
	}
	query(t, shared, "SELECT 1;")
	query(t, shared, "SELECT 1 ; -- the end\n")
	query(t, shared, "INSERT INTO "+name+" VALUES (1); -- ; and that is all\n")
	if got := query(t, shared, "SELECT count() FROM "+name); got != "1" {
		t.Errorf("rows: %s", got)
	}
}

func TestStatementInURLAndBody(t *testing.T) {
	name := table(t, shared, "a UInt64, b String")
	for _, x := range []struct{ url, body string }{
		{"INSERT INTO " + name + " FORMAT CSV", "1,one\n"},
		{"INSERT INTO " + name + " FORMAT CSV 2,two", "3,three\n"},
		{"INSERT INTO " + name + " VALUES", "(4,'four'),(5,'five')"},
		{"INSERT INTO " + name + " (b, a) FORMAT JSONEachRow", `{"a":6,"b":"six"}`},
		{"INSERT INTO " + name, "VALUES (7,'seven')"},
		{"INSERT INTO " + name, "SELECT 8, 'eight'"},
		{"", "INSERT INTO " + name + " FORMAT TSV\n9\tnine\n"},
		{"", "INSERT INTO " + name + " SELECT number, toString(number) FROM numbers(10, 2)"},
	} {
		v := params()
		if x.url != "" {
			v.Set("query", x.url)
		}
		if r := send(t, shared, v, strings.NewReader(x.body)); r.status != 200 {
			t.Errorf("%q + %q: %d %s", x.url, x.body, r.status, r.body)
		}
	}
	if got := query(t, shared, "SELECT groupArray(a), groupArray(b) FROM (SELECT * FROM "+name+" ORDER BY a) FORMAT TSV"); !strings.HasPrefix(got, "[1,2,3,4,5,6,7,8,9,10,11]") {
		t.Errorf("stored: %s", got)
	}
	if r := send(t, shared, params("query", "SELECT 1 +"), strings.NewReader("2")); r.body != "3\n" {
		t.Errorf("a SELECT in two parts: %s", r.body)
	}
}

func TestCompression(t *testing.T) {
	const rows = 200_000
	sql := "SELECT number, toString(number) FROM numbers(200000)"
	want := query(t, shared, sql)

	for _, method := range []string{"", "LZ4", "ZSTD", "NONE"} {
		v := params("compress", "1")
		if method != "" {
			v.Set("network_compression_method", method)
		}
		r := send(t, shared, v, strings.NewReader(sql))
		got := new(strings.Builder)
		frames := compress.NewReader(strings.NewReader(r.body))
		_, err := io.Copy(got, frames)
		if got.String() != want+"\n" {
			t.Errorf("compress=1 %s: %d bytes instead of %d (%v)", method, got.Len(), len(want), err)
		}
	}
	for _, encoding := range []string{"gzip", "deflate", "br", "br;q=1.0, gzip"} {
		r := send(t, shared, params("enable_http_compression", "1"), strings.NewReader(sql), "Accept-Encoding", encoding)
		if r.header.Get("Content-Encoding") == "" || len(r.body) > len(want)/2 {
			t.Errorf("%s: encoding %q, %d bytes", encoding, r.header.Get("Content-Encoding"), len(r.body))
		}
		if encoding == "gzip" {
			z, err := gzip.NewReader(strings.NewReader(r.body))
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(z); err != nil || string(b) != want+"\n" {
				t.Errorf("gzip: %d bytes, %v", len(b), err)
			}
		}
	}
	if r := send(t, shared, params(), strings.NewReader(sql), "Accept-Encoding", "gzip"); r.header.Get("Content-Encoding") != "" {
		t.Error("compressed without enable_http_compression")
	}

	name := table(t, shared, "a UInt64, b String")
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := io.WriteString(z, want+"\n"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	insert := "INSERT INTO " + name + " FORMAT TSV"
	if r := send(t, shared, params("query", insert), bytes.NewReader(zipped.Bytes()), "Content-Encoding", "gzip"); r.status != 200 {
		t.Fatalf("gzip body: %d %s", r.status, r.body)
	}
	framed := compress.NewWriter(compress.LevelZero, compress.LZ4)
	if err := framed.Compress([]byte(want + "\n")); err != nil {
		t.Fatal(err)
	}
	if r := send(t, shared, params("query", insert, "decompress", "1"), bytes.NewReader(framed.Data)); r.status != 200 {
		t.Fatalf("LZ4 body: %d %s", r.status, r.body)
	}
	if got := query(t, shared, "SELECT count(), uniqExact(a) FROM "+name); got != "400000\t200000" {
		t.Errorf("stored: %s of %d", got, rows)
	}
	// A damaged or truncated body stores nothing, whatever it was packed in.
	for _, x := range []struct {
		body     []byte
		encoding string
		v        []string
	}{
		{zipped.Bytes()[:zipped.Len()-10], "gzip", []string{"query", insert}},
		{framed.Data[:len(framed.Data)-10], "", []string{"query", insert, "decompress", "1"}},
		{framed.Data[:20], "", []string{"query", insert, "decompress", "1"}},
		{[]byte("not packed"), "gzip", []string{"query", insert}},
		{[]byte("x"), "unknown", []string{"query", insert}},
	} {
		if r := send(t, shared, params(x.v...), bytes.NewReader(x.body), "Content-Encoding", x.encoding); r.status == 200 {
			t.Errorf("a damaged body (%s) was accepted", x.encoding)
		}
	}
	for encoding, open := range map[string]func(io.Writer) io.WriteCloser{
		"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
		"br":      func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) },
		"zstd": func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w)
			if err != nil {
				t.Fatal(err)
			}
			return z
		},
	} {
		var packed bytes.Buffer
		z := open(&packed)
		if _, err := io.WriteString(z, want+"\n"); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		for _, cut := range []int{packed.Len() - 1, packed.Len() / 2, 3, 0} {
			if r := send(t, shared, params("query", insert), bytes.NewReader(packed.Bytes()[:cut]), "Content-Encoding", encoding); r.status == 200 && cut > 0 {
				t.Errorf("%s cut after %d of %d bytes was accepted", encoding, cut, packed.Len())
			}
		}
		if got := query(t, shared, "SELECT count() FROM "+name); got != "400000" {
			t.Errorf("stored after damaged bodies: %s", got)
		}
		if r := send(t, shared, params("query", insert), bytes.NewReader(packed.Bytes()), "Content-Encoding", encoding); r.status != 200 {
			t.Errorf("%s body: %d %s", encoding, r.status, r.body)
		}
		query(t, shared, "TRUNCATE TABLE "+name)
		query(t, shared, "INSERT INTO "+name+" SELECT number, '' FROM numbers(400000)")
	}
}

func TestLateExceptionIsMarked(t *testing.T) {
	sql := "SELECT throwIf(number = 3000000) FROM numbers(10000000)"
	r := send(t, shared, params("max_block_size", "10000", "max_threads", "1"), strings.NewReader(sql))
	if r.status != 200 {
		t.Fatalf("it failed before the first byte, though three million rows come before the bad one: %d %s", r.status, r.body)
	}
	if r.err == nil {
		t.Error("the connection ended as if the answer were whole")
	}
	tag := r.header.Get("X-ClickHouse-Exception-Tag")
	if i := strings.Index(r.body, "\r\n__exception__\r\n"+tag+"\r\nCode: 395."); i < 0 || tag == "" {
		t.Errorf("no mark in the answer; it ends with %q", r.body[max(0, len(r.body)-300):])
	}
}

func TestErrors(t *testing.T) {
	refused(t, shared, "62", "SELEC 1")
	refused(t, shared, "62", "SELECT FROM WHERE")
	refused(t, shared, "60", "SELECT * FROM nowhere")
	refused(t, shared, "47", "SELECT nothing")
	refused(t, shared, "358", "SELECT 1 INTO OUTFILE '/tmp/x'")
	refused(t, shared, "358", "INSERT INTO t FROM INFILE '/etc/passwd' FORMAT CSV")
	refused(t, shared, "48", "INSERT INTO t FORMAT `CSV`\n1")
}
