package engine_test

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReadonly(t *testing.T) {
	name := table(t, shared, "a UInt64")
	query(t, shared, "INSERT INTO "+name+" VALUES (1)")
	secret := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, mode := range [][]string{{"readonly", "1"}, {"readonly", "2"}, {"readonly", "1", "session_id", t.Name()}, {"readonly", "2", "session_id", t.Name()}} {
		for _, sql := range []string{
			"SELECT count() FROM " + name,
			"SELECT count() FROM " + name + " FORMAT JSONEachRow",
			"WITH 1 AS x SELECT x",
			"(SELECT 1) UNION ALL (SELECT 2)",
			"SHOW TABLES", "SHOW CREATE TABLE " + name, "SHOW DATABASES", "SHOW PROCESSLIST",
			"DESCRIBE TABLE " + name, "DESC " + name, "EXISTS TABLE " + name,
			"EXPLAIN SELECT * FROM " + name, "EXPLAIN AST SELECT 1",
			"SELECT * FROM numbers(3)", "SELECT * FROM generateRandom('a Int') LIMIT 1", "SELECT * FROM values('a Int', 1)",
			"SELECT * FROM view(SELECT 1)", "SELECT * FROM system.parts LIMIT 1",
			"SELECT 'file(' || url FROM (SELECT domain('http://x/') AS url)",
			"SELECT {a:Int}",
		} {
			query(t, shared, sql, append(mode, "param_a", "1")...)
		}
		for _, x := range [][2]string{
			{"164", "INSERT INTO " + name + " VALUES (2)"},
			{"164", "INSERT INTO " + name + " SELECT 2"},
			{"164", "CREATE TABLE x (a Int) ENGINE = Memory"},
			{"164", "CREATE TEMPORARY TABLE x (a Int)"},
			{"164", "DROP TABLE " + name}, {"164", "TRUNCATE TABLE " + name}, {"164", "ALTER TABLE " + name + " DELETE WHERE 1"},
			{"164", "OPTIMIZE TABLE " + name}, {"164", "CHECK TABLE " + name},
			{"164", "SET readonly = 0"}, {"164", "SET max_threads = 1"}, {"164", "USE system"},
			{"164", "SYSTEM FLUSH LOGS"}, {"164", "KILL QUERY WHERE 1"},
			{"358", "SELECT 1 INTO OUTFILE '/tmp/x'"},
			{"446", "SELECT * FROM file('" + secret + "')"},
			{"446", "SELECT * FROM /* */ FiLe ('" + secret + "')"},
			{"446", "SELECT * FROM `file`('" + secret + "')"},
			{"446", "SELECT file('" + secret + "')"},
			{"446", "SELECT 1 IN (SELECT * FROM file('" + secret + "'))"},
			{"446", "SELECT * FROM numbers(1) WHERE number IN file('" + secret + "')"},
			{"446", "WITH x AS (SELECT * FROM file('" + secret + "')) SELECT * FROM x"},
			{"446", "DESCRIBE TABLE file('" + secret + "')"},
			{"446", "EXPLAIN SELECT * FROM file('" + secret + "')"},
			{"446", "EXPLAIN PLAN SELECT * FROM file('" + secret + "') FORMAT TSV"},
			{"446", "SELECT * FROM view(SELECT * FROM file('" + secret + "'))"},
			{"446", "SELECT * FROM url('http://127.0.0.1:1/', CSV)"},
			{"446", "SELECT * FROM s3('http://127.0.0.1:1/x')"},
			{"446", "SELECT * FROM remote('127.0.0.1:1', system.one)"},
			{"446", "SELECT * FROM cluster('default', system.one)"},
			{"446", "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')"},
			{"446", "SELECT * FROM executable('x', CSV, 'a Int')"},
			{"446", "SELECT hasColumnInTable('127.0.0.1:1', 'd', 't', 'c')"},
			{"60", "SELECT * FROM `" + secret + "`"},
			{"60", "SELECT * FROM default.`" + secret + "`"},
			{"62", "SELECT 1; DROP TABLE " + name},
		} {
			refused(t, shared, x[0], x[1], mode...)
		}
	}
	refused(t, shared, "164", "SELECT 1 SETTINGS max_threads = 1", "readonly", "1")
	refused(t, shared, "164", "SELECT 1 SETTINGS max_threads = 1", "readonly", "1", "session_id", t.Name())
	for _, sql := range []string{"SELECT 1 FORMAT TSV SETTINGS max_threads = 1", "SELECT * FROM (SELECT 1 SETTINGS max_threads = 1)", "EXPLAIN header = 1 SELECT 1 SETTINGS max_threads = 1"} {
		refused(t, shared, "164", sql, "readonly", "1")
		refused(t, shared, "164", sql, "readonly", "1", "session_id", t.Name())
	}
	query(t, shared, "EXPLAIN header = 1, actions = 1 SELECT 1", "readonly", "1")
	query(t, shared, "EXPLAIN indexes = 1 SELECT * FROM "+name+" FORMAT TSV", "readonly", "1", "session_id", t.Name())
	query(t, shared, "SELECT 1 SETTINGS max_threads = 1", "readonly", "2")
	query(t, shared, "SELECT 1", "readonly", "1", "max_threads", "1")
	refused(t, shared, "36", "SELECT 1", "readonly", "3")
	if got := query(t, shared, "SELECT count() FROM "+name, "readonly", "0"); got != "1" {
		t.Errorf("rows afterwards: %s", got)
	}
	// A session that served readonly requests still writes.
	query(t, shared, "INSERT INTO "+name+" VALUES (2)", "session_id", t.Name())
}
