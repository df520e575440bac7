package verify_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agentaudit/agentaudit/internal/verify"
)

// Every way to falsify a table is found, and the first bad place named.
func TestFalsifications(t *testing.T) {
	r := newRigOf(t, []int{4000, 4000, 2500})
	var progress atomic.Uint64
	good := r.verify(t, verify.Options{Progress: func(n uint64) { progress.Add(n) }})
	if !good.OK || len(good.Logs) != 2 || good.Logs[0].Log != theLog || good.Logs[0].Size != r.entries || len(good.Logs[0].Head) != 64 {
		t.Fatalf("before anything was changed: %+v", good)
	}
	if progress.Load() != good.Entries {
		t.Errorf("progress says %d entries, the report %d", progress.Load(), good.Entries)
	}

	// The leaf hash is computed in SQL, as whoever forges an entry would.
	const forge = "ALTER TABLE audit.events UPDATE entry = replaceOne(entry, '\"success\"', '\"failure\"'), " +
		"leaf_hash = SHA256(concat(unhex('00'), replaceOne(entry, '\"success\"', '\"failure\"'))) WHERE log = '" + theLog + "' AND seq = "
	const where = " WHERE log = '" + theLog + "' AND seq "
	last := r.entries - 1
	f := func(name string, deep bool, seq uint64, reason string, statements ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			defer r.mend(t)
			for _, sql := range statements {
				r.exec(t, sql)
			}
			report := r.verify(t, verify.Options{Log: theLog, Deep: deep})
			bad := report.Logs[0].FirstBad
			if report.OK || bad == nil {
				t.Fatal("not found")
			}
			if bad.Seq != seq || !strings.Contains(bad.Reason, reason) {
				t.Errorf("seq %d, %q; want seq %d and %q", bad.Seq, bad.Reason, seq, reason)
			}
			if strings.Contains(bad.Reason, "text ") || strings.Contains(bad.Reason, "acme") {
				t.Errorf("%q quotes an entry", bad.Reason)
			}
		})
	}
	f("entry changed", false, 7, "leaf hash", "ALTER TABLE audit.events UPDATE entry = replaceOne(entry, '\"success\"', '\"failure\"')"+where+"= 7")
	f("leaf hash changed", false, 7, "leaf hash", "ALTER TABLE audit.events UPDATE leaf_hash = SHA256('x')"+where+"= 7")
	f("entry and leaf hash changed", false, 8, "prev", forge+"7")
	f("last entry and its leaf hash changed", false, last, "rewritten", forge+fmt.Sprint(last))
	f("entry removed", false, 7, "seq 7 expected, 8 found", "ALTER TABLE audit.events DELETE"+where+"= 7")
	f("first entry removed", false, 0, "seq 0 expected", "ALTER TABLE audit.events DELETE"+where+"= 0")
	f("truncated", false, last-9, "truncated", "ALTER TABLE audit.events DELETE"+where+fmt.Sprintf(">= %d", last-9))
	f("emptied", false, 0, "truncated", "ALTER TABLE audit.events DELETE WHERE log = '"+theLog+"'")
	f("doubled", false, 7, "double", "INSERT INTO audit.events SELECT * FROM audit.kept"+where+"= 7")
	f("doubled with another entry", false, 7, "double", "INSERT INTO audit.events SELECT * REPLACE (replaceOne(entry, 'tool.call', 'tool.null') AS entry, "+
		"SHA256(concat(unhex('00'), replaceOne(entry, 'tool.call', 'tool.null'))) AS leaf_hash) FROM audit.kept"+where+"= 7")
	f("two swapped", false, 7, "seq", "ALTER TABLE audit.events DELETE"+where+"IN (7, 8)",
		"INSERT INTO audit.events SELECT * REPLACE (if(seq = 7, 8, 7)::UInt64 AS seq) FROM audit.kept"+where+"IN (7, 8)")
	f("appended out of nothing", false, r.entries, fmt.Sprintf("seq %d expected, the entry itself says 7", r.entries), "INSERT INTO audit.events SELECT * REPLACE ("+fmt.Sprint(r.entries)+"::UInt64 AS seq) FROM (SELECT * FROM audit.kept"+where+"= 7)")
	f("entry that is none", false, 7, "leaf hash", "ALTER TABLE audit.events UPDATE entry = 'x'"+where+"= 7")

	f("column changed", true, 7, "column input_tokens", "ALTER TABLE audit.events UPDATE input_tokens = 1000000"+where+"= 7")
	f("other column changed", true, 7, "column tenant", "ALTER TABLE audit.events UPDATE tenant = 'evil'"+where+"= 7")
	f("ciphertext changed", true, 7, "column content", "ALTER TABLE audit.events UPDATE content = concat(content, 'x')"+where+"= 7")
	f("ciphertext removed", true, 7, "column content", "ALTER TABLE audit.events UPDATE content = ''"+where+"= 7")

	t.Run("columns are checked with --deep only", func(t *testing.T) {
		defer r.mend(t)
		r.exec(t, "ALTER TABLE audit.events UPDATE input_tokens = 1000000"+where+"= 7")
		if report := r.verify(t, verify.Options{}); !report.OK {
			t.Errorf("got %+v", report)
		}
	})
	t.Run("the command says no", func(t *testing.T) {
		defer r.mend(t)
		r.exec(t, forge+"7")
		result := r.up.Run(t, "", "verify")
		if result.Code != 1 || !strings.Contains(result.Stdout, "BAD at seq 8") {
			t.Errorf("exit code %d, %q, %q", result.Code, result.Stdout, result.Stderr)
		}
	})
	t.Run("an unknown log is an error", func(t *testing.T) {
		_, err := verify.Run(t.Context(), verify.Deps{Store: r.systems.Store, Vault: r.systems.Vault}, verify.Options{Log: "agent.events/9", Keys: r.known(t)})
		if err == nil || !strings.Contains(err.Error(), "agent.events/9") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an interrupted run is an error", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := verify.Run(ctx, verify.Deps{Store: r.systems.Store, Vault: r.systems.Vault}, verify.Options{Keys: r.known(t)})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("system records must be signed by a known author", func(t *testing.T) {
		defer r.mend(t)
		r.exec(t, "ALTER TABLE audit.events UPDATE entry = replaceOne(entry, '\"author\":\"exporter\"', '\"author\":\"impostor\"'), "+
			"leaf_hash = SHA256(concat(unhex('00'), replaceOne(entry, '\"author\":\"exporter\"', '\"author\":\"impostor\"'))) WHERE log = 'audit.system/0' AND seq = 1")
		report := r.verify(t, verify.Options{Log: "audit.system/0"})
		if report.OK || report.Logs[0].FirstBad.Seq != 1 {
			t.Errorf("got %+v", report.Logs[0])
		}
	})
}
