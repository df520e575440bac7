package store

import (
	"context"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/agentaudit/agentaudit/schemas"
)

func TestMigrateAgain(t *testing.T) {
	s := newStore(t)
	for range 2 {
		if err := s.Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if got := count(t, s, "SELECT groupArray(version) FROM (SELECT version FROM migrations ORDER BY version)"); got != "[0,1,2,3,4]" {
		t.Errorf("versions %s", got)
	}
	if err := s.AssertFence(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestMigrateAtOnce: eight processes start on an empty server.
func TestMigrateAtOnce(t *testing.T) {
	cfg := testConfig(t)
	var all sync.WaitGroup
	for range 8 {
		s := openStore(t, cfg)
		all.Go(func() { // ends with its migration
			if err := s.Migrate(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	s := openStore(t, cfg)
	if err := s.AssertFence(context.Background()); err != nil {
		t.Error(err)
	}
	if got := count(t, s, "SELECT groupArray(version) FROM (SELECT DISTINCT version FROM migrations ORDER BY version)"); got != "[0,1,2,3,4]" {
		t.Errorf("versions %s", got)
	}
}

// TestMigrationsOfCluster: the statements for a cluster, of which there is none here to
// run them, at least parse, name the cluster each, and replicate each table.
func TestMigrationsOfCluster(t *testing.T) {
	s := newStore(t)
	files, err := schemas.ClickHouse()
	if err != nil {
		t.Fatal(err)
	}
	names := migrationNames{Database: s.cfg.Database, cluster: "prod", path: "/clickhouse/tables/{shard}"}
	filled := templates{files, names}
	paths, err := fs.Glob(files, "*.sql")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		text, err := fs.ReadFile(filled, path)
		if err != nil {
			t.Fatal(err)
		}
		_, up, _ := strings.Cut(string(text), "-- +goose Up\n")
		for _, statement := range strings.Split(up, ";\n") {
			if statement = withoutComments(statement); statement == "" {
				continue
			}
			first, _, _ := strings.Cut(statement, "\n")
			if !strings.Contains(first, "ON CLUSTER 'prod'") || !strings.Contains(first, "IF NOT EXISTS "+s.cfg.Database+".") {
				t.Errorf("%s: %s", path, first)
			}
			if strings.HasPrefix(first, "CREATE TABLE") && (!strings.Contains(statement, "MergeTree('/clickhouse/tables/{shard}/"+s.cfg.Database+"/") ||
				!strings.Contains(statement, "ENGINE = Replicated")) {
				t.Errorf("%s: not replicated: %s", path, first)
			}
			literal := "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(statement) + "'"
			count(t, s, "SELECT length(formatQuery("+literal+"))")
		}
	}
}

func withoutComments(sql string) string {
	var kept []string
	for _, line := range strings.Split(sql, "\n") {
		if trimmed := strings.TrimSpace(line); trimmed != "" && !strings.HasPrefix(trimmed, "--") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

func TestConfig(t *testing.T) {
	f := func(change func(*Config), reason string) {
		t.Helper()
		cfg := DefaultConfig()
		change(&cfg)
		err := cfg.Validate()
		if reason == "" && err != nil || reason != "" && (err == nil || !strings.Contains(err.Error(), reason)) {
			t.Errorf("want %q, got %v", reason, err)
		}
	}
	f(func(*Config) {}, "")
	f(func(c *Config) { c.Addresses = nil }, "at least one")
	f(func(c *Config) { c.Addresses = []string{"http://user:secret@host:1"} }, "without user")
	f(func(c *Config) { c.Addresses = []string{"host:9000"} }, "http://host:port")
	f(func(c *Config) { c.Addresses = []string{"http://a:1", "http://b:1"} }, "need a cluster")
	f(func(c *Config) { c.Addresses, c.Cluster = []string{"http://a:1", "http://b:1"}, "prod" }, "")
	f(func(c *Config) { c.Database = "a.b" }, "database")
	f(func(c *Config) { c.User = "" }, "user")
	f(func(c *Config) { c.Cluster = "a'b" }, "cluster")
	f(func(c *Config) { c.Cluster, c.ReplicatedPath = "prod", "/x'y" }, "replicated path")
	f(func(c *Config) { c.TLS.CertFile = "cert.pem" }, "certificate and key")
	f(func(c *Config) { c.MaxExecution = 0 }, "max execution")
	f(func(c *Config) { c.InsertTimeout = c.MaxExecution - 1 }, "insert timeout")
	f(func(c *Config) { c.QueryTimeout = 0 }, "query timeout")
}
