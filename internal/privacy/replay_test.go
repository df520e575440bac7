package privacy

import (
	"database/sql"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/testkit/deployment"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// An old backup of the vault knows who was erased since. The log does too, and nobody is served before they agree; but only what one of our own processes has
// signed destroys anything.
func TestRestoredVaultForgetsAgain(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "")
	r.produce("noah", "")
	r.awaitSealed()
	r.start()
	if ended := r.awaitEnd(r.submit(erasureOf("somebody else"))); ended.State != gdpr.StateRefused { // the worker runs, so its author is known
		t.Fatal(ended.State)
	}
	mia, _ := r.find("mia")
	noah, _ := r.find("noah")
	backup := filepath.Join(t.TempDir(), "backup.db")
	db, err := sql.Open("sqlite", r.VaultAt.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "VACUUM INTO ?", backup); err != nil {
		t.Fatal(err)
	}
	forGood := erasureOf("mia")
	forGood.SuppressForever = true
	if ended := r.awaitEnd(r.submit(forGood)); ended.State != gdpr.StateCompleted {
		t.Fatal(ended.State, ended.Reason)
	}
	// Somebody who has ClickHouse says that noah was erased too.
	if err := r.Server.Exec(t.Context(), "INSERT INTO "+r.Server.Database+".events SELECT * REPLACE (replaceOne(entry, '"+mia.ID.String()+"', '"+noah.ID.String()+
		"') AS entry, seq + 1000 AS seq) FROM "+r.Server.Database+".events WHERE type = 'gdpr.erasure'"); err != nil {
		t.Fatal(err)
	}

	restored := r.OpenVault(vault.Config{Driver: vault.DriverSQLite, DSN: backup, Deployment: deployment.Name})
	in := func(user string) bool {
		t.Helper()
		_, found, err := restored.Find(t.Context(), vault.Identity{Tenant: "acme", User: user})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if !in("mia") || !in("noah") {
		t.Fatal("the backup lacks somebody")
	}
	deps := r.worker.deps
	deps.Vault = restored
	guard := New(r.worker.cfg, deps)
	for range 2 { // the second time there is nothing to do
		if err := guard.AwaitReplay(t.Context()); err != nil {
			t.Fatal(err)
		}
		if in("mia") {
			t.Error("she is back")
		}
		if !in("noah") {
			t.Error("a forged entry has erased him")
		}
	}
	// That nothing of her is ever to be kept again holds in the restored vault, which has never seen the request.
	again, err := sql.Open("sqlite", backup)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	var forGoodToo int
	if err := again.QueryRowContext(t.Context(), "SELECT forever FROM suppressions").Scan(&forGoodToo); err != nil || forGoodToo != 1 {
		t.Errorf("for ever: %d, %v", forGoodToo, err)
	}
}

// A backup is restored into the vault while processes run: they erase again by themselves.
func TestVaultRestoredUnderRunningProcesses(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "")
	r.produce("noah", "")
	r.awaitSealed()
	r.start()
	r.Run(r.worker.Watch)
	if ended := r.awaitEnd(r.submit(erasureOf("somebody else"))); ended.State != gdpr.StateRefused { // the worker runs, so its author is known
		t.Fatal(ended.State)
	}
	db := r.sqlite()
	inOne := func(statements func(table string) []string) {
		t.Helper()
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"change_counter", "subjects", "changes", "suppressions", "destroyed", "authors"} { // the first one takes the lock
			for _, statement := range statements(table) {
				if _, err := tx.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(table, err)
				}
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	inOne(func(table string) []string {
		return []string{"CREATE TABLE saved_" + table + " AS SELECT * FROM " + table}
	})
	if _, err := db.ExecContext(t.Context(), "DELETE FROM saved_authors"); err != nil { // the backup is older than the author
		t.Fatal(err)
	}
	if ended := r.awaitEnd(r.submit(erasureOf("mia"))); ended.State != gdpr.StateCompleted {
		t.Fatal(ended.State, ended.Reason)
	}
	inOne(func(table string) []string {
		return []string{"DELETE FROM " + table, "INSERT INTO " + table + " SELECT * FROM saved_" + table}
	})
	testkit.Eventually(t, soon, func() bool { return r.number(db, "SELECT count(*) FROM destroyed") == 1 }, "she is erased again")
	if _, found := r.find("mia"); found {
		t.Error("she is back")
	}
	if _, found := r.find("noah"); !found {
		t.Error("he is gone")
	}
}
