package store

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

func TestFenceHolds(t *testing.T) {
	s := newStore(t)
	for range 2 {
		if err := s.AssertFence(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// fenceSays wants a refusal that names the problem and nothing else.
func fenceSays(t *testing.T, s *Store, problem string) {
	t.Helper()
	var fence *FenceError
	if err := s.AssertFence(context.Background()); !errors.As(err, &fence) {
		t.Errorf("want %q, got %v", problem, err)
		return
	}
	if len(fence.Problems) != 1 || !strings.Contains(fence.Problems[0], problem) {
		t.Errorf("want %q, got %q", problem, fence.Problems)
	}
}

// TestFenceTable breaks each condition on the table in turn.
func TestFenceTable(t *testing.T) {
	s := newStore(t)
	exec(t, s, "CREATE TABLE "+s.cfg.Database+".good AS "+s.events)
	definition := count(t, s, "SELECT replaceRegexpOne(create_table_query, '^CREATE TABLE \\\\S+', 'CREATE TABLE') FROM system.tables WHERE database = currentDatabase() AND name = 'events'")
	f := func(problem string, change func(definition string) string) {
		t.Helper()
		text := strings.NewReplacer(`\'`, `'`, `\n`, "\n").Replace(definition)
		changed := change(text)
		if changed == text {
			t.Errorf("%s: the definition is unchanged", problem)
		}
		exec(t, s, "DROP TABLE "+s.events)
		exec(t, s, strings.Replace(changed, "CREATE TABLE", "CREATE TABLE "+s.events, 1))
		fenceSays(t, s, problem)
	}
	replace := func(old, by string) func(string) string {
		return func(d string) string { return strings.Replace(d, old, by, 1) }
	}
	f("has engine ReplacingMergeTree", replace("ENGINE = MergeTree", "ENGINE = ReplacingMergeTree"))
	f(`partitioned by "toYYYYMM(time)"`, replace("PARTITION BY epoch", "PARTITION BY toYYYYMM(time)"))
	f(`ordered by "log, seq, event_id"`, replace("ORDER BY (log, seq)", "ORDER BY (log, seq, event_id)"))
	f("has a TTL", replace("SETTINGS", "TTL toDateTime(time) + INTERVAL 1 YEAR SETTINGS"))
	f("non_replicated_deduplication_window = 99999", replace("non_replicated_deduplication_window = 100000", "non_replicated_deduplication_window = 99999"))
	f("non_replicated_deduplication_window = 0", replace("non_replicated_deduplication_window = 100000, ", ""))
	f("fsync_after_insert = 0", replace("fsync_after_insert = 1", "fsync_after_insert = 0"))
	f("fsync_part_directory = 0", replace("fsync_part_directory = 1", "fsync_part_directory = 0"))
	f("column trace_id", replace("`trace_id` String", "`trace_id` LowCardinality(String)"))
	f("materialized views", func(d string) string {
		exec(t, s, "CREATE MATERIALIZED VIEW "+s.cfg.Database+".mv ENGINE = MergeTree ORDER BY n AS SELECT count() AS n FROM "+s.events)
		return d + " COMMENT 'with a view'"
	})
	exec(t, s, "DROP TABLE "+s.cfg.Database+".mv")
	exec(t, s, "DROP TABLE "+s.cfg.Database+".fence")
	fenceSays(t, s, ".fence does not exist")
}

func TestFenceWithoutTables(t *testing.T) {
	s := openStore(t, testConfig(t))
	var fence *FenceError
	if err := s.AssertFence(context.Background()); !errors.As(err, &fence) || !strings.Contains(err.Error(), "migrate") {
		t.Errorf("without tables: %v", err)
	}
}

// TestFenceOfCluster: a cluster is configured that the server does not know.
func TestFenceOfCluster(t *testing.T) {
	s := newStore(t)
	s.cfg.Cluster = "nowhere"
	err := s.AssertFence(context.Background())
	for _, problem := range []string{"engine MergeTree: it must be ReplicatedMergeTree", "has 0 shards", "read-only or unknown"} {
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("want %q: %v", problem, err)
		}
	}
}

// TestFenceOnTheWay puts a proxy before the server that changes requests, as a profile
// of the user or an HTTP proxy can.
func TestFenceOnTheWay(t *testing.T) {
	s := newStore(t)
	target, err := url.Parse(s.cfg.Addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	f := func(problem string, change func(url.Values)) {
		t.Helper()
		proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			q := r.Out.URL.Query()
			change(q)
			r.Out.URL.RawQuery = q.Encode()
		}})
		defer proxy.Close()
		cfg := s.cfg
		cfg.Addresses = []string{proxy.URL}
		fenceSays(t, openStore(t, cfg), problem)
	}
	set := func(name, value string) func(url.Values) { return func(q url.Values) { q.Set(name, value) } }
	f("async_insert", set("async_insert", "1"))
	f("max_execution_time", set("max_execution_time", "0"))
	f("min_insert_block_size_rows", set("min_insert_block_size_rows", "1000000"))
	f("max_insert_block_size", set("max_insert_block_size", "10"))
	f("max_partitions_per_insert_block", set("max_partitions_per_insert_block", "100"))
	f("throw_on_max_partitions_per_insert_block", set("throw_on_max_partitions_per_insert_block", "0"))
	f("unknown session was answered", func(q url.Values) { q.Del("session_check") })
	f("unknown session was answered", func(q url.Values) { q.Del("session_id") })
	f("under tokens A, A and B", func(q url.Values) { q.Del("insert_deduplication_token") })
	f("under tokens A, A and B", func(q url.Values) {
		if q.Has("insert_deduplication_token") {
			q.Set("insert_deduplication_token", "always the same")
		}
	})
}

// TestFenceDeduplicationOff: the setting says so, and the probe sees it as well.
func TestFenceDeduplicationOff(t *testing.T) {
	s := newStore(t)
	target, err := url.Parse(s.cfg.Addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		q := r.Out.URL.Query()
		q.Set("insert_deduplicate", "0")
		r.Out.URL.RawQuery = q.Encode()
	}})
	defer proxy.Close()
	cfg := s.cfg
	cfg.Addresses = []string{proxy.URL}
	var fence *FenceError
	if err := openStore(t, cfg).AssertFence(context.Background()); !errors.As(err, &fence) || !strings.Contains(err.Error(), "insert_deduplicate") {
		t.Errorf("insert_deduplicate = 0: %v", err)
	}
}

// TestFenceVersion: a server that is too old.
func TestFenceVersion(t *testing.T) {
	f := func(version string, good bool) {
		t.Helper()
		old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			var b text
			b.PutUVarInt(1) // columns
			b.PutUVarInt(1) // rows
			b.PutString("v")
			b.PutString("String")
			b.put([]byte(version))
			_, _ = w.Write(b.Buf) // the client shows what is missing
		}))
		defer old.Close()
		base, _ := url.Parse(old.URL)
		check := &fence{at: &server{base: base, client: old.Client()}}
		if err := check.checkVersion(context.Background()); err != nil || (len(check.problems) == 0) != good {
			t.Errorf("%s: %v, %v", version, check.problems, err)
		}
	}
	f("25.7.9.1", false)
	f("24.12.1.1", false)
	f("25.8.1.3", true)
	f("26.7.2.1", true)
	f("nonsense", false)
}
