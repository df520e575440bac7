package verify_test

import (
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/verify"
)

// Tiles are what proofs are made of: each is held against the entries.
func TestTiles(t *testing.T) {
	r := newRig(t)
	for name, sql := range map[string]string{
		"changed": "ALTER TABLE audit.tiles UPDATE root = reverse(root) WHERE log = '" + theLog + "'",
		"removed": "ALTER TABLE audit.tiles DELETE WHERE log = '" + theLog + "'",
		"doubled": "INSERT INTO audit.tiles SELECT log, level, tile, reverse(hashes), root FROM audit.tiles WHERE log = '" + theLog + "'",
	} {
		r.exec(t, "CREATE TABLE audit.kept_tiles AS audit.tiles")
		r.exec(t, "INSERT INTO audit.kept_tiles SELECT * FROM audit.tiles")
		r.exec(t, sql)
		report := r.verify(t, verify.Options{Log: theLog})
		if b := report.Logs[0].FirstBad; b == nil || b.Seq != 0 || !strings.Contains(b.Reason, "tile 0 of level 0") {
			t.Errorf("%s: %+v", name, b)
		}
		r.exec(t, "TRUNCATE TABLE audit.tiles")
		r.exec(t, "INSERT INTO audit.tiles SELECT * FROM audit.kept_tiles")
		r.exec(t, "DROP TABLE audit.kept_tiles SYNC")
		if report := r.verify(t, verify.Options{Log: theLog}); !report.OK {
			t.Errorf("%s, mended: %+v", name, report)
		}
	}
}

// A log with a wrong tile is mended by a command, unless its entries are what is wrong.
func TestTilesAreMended(t *testing.T) {
	r := newRig(t)
	const where = " WHERE log = '" + theLog + "'"
	f := func(code int, says string, args ...string) {
		t.Helper()
		result := r.up.Run(t, "", append([]string{"log", "tiles", "--log", theLog}, args...)...)
		if result.Code != code || !strings.Contains(result.Stdout+result.Stderr, says) {
			t.Errorf("log tiles %v: exit code %d, %s%s; want %d and %q", args, result.Code, result.Stdout, result.Stderr, code, says)
		}
	}
	f(0, "301 entries make the signed root; all tiles are right")
	f(0, `"wrong_tiles":[],"mended":false,"first_bad":null`, "--mend", "--json")
	for name, sql := range map[string]string{
		"changed": "ALTER TABLE audit.tiles UPDATE root = reverse(root)" + where,
		"removed": "ALTER TABLE audit.tiles DELETE" + where,
		"doubled": "INSERT INTO audit.tiles SELECT log, level, tile, reverse(hashes), root FROM audit.tiles" + where,
	} {
		r.exec(t, sql)
		f(1, "tile 0 of level 0 is")
		f(1, `"ok":false,"log":"`+theLog+`","size":301`, "--json")
		if result := r.up.Run(t, "", "verify", "--log", theLog); result.Code != 1 {
			t.Errorf("%s: verify ended with %d", name, result.Code)
		}
		f(0, "1 tiles were mended", "--mend")
		f(0, "all tiles are right")
		if result := r.up.Run(t, "", "verify", "--log", theLog); result.Code != 0 {
			t.Errorf("%s, mended: verify ended with %d: %s", name, result.Code, result.Stdout)
		}
	}

	r.exec(t, "ALTER TABLE audit.tiles DELETE"+where)
	r.exec(t, "ALTER TABLE audit.events UPDATE entry = replaceOne(entry, '\"success\"', '\"failure\"')"+where+" AND seq = 7")
	f(1, "BAD at seq 7: ", "--mend")
	f(1, `"first_bad":{"seq":7,`, "--mend", "--json")
	r.mend(t)
	f(0, "1 tiles were mended", "--mend")
	f(1, "no signature of a known key", "--mend", "--key", "acme+a38a982d+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop")
	f(2, "is no public key", "--key", "x")
	if result := r.up.Run(t, "", "log", "tiles", "--log", "agent.events/9"); result.Code != 2 || !strings.Contains(result.Stderr, "no checkpoint") {
		t.Errorf("an unknown log: %+v", result)
	}
}
