package privacy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// sqlite opens the vault's file beside the vault.
func (r *rig) sqlite() *sql.DB {
	r.t.Helper()
	db, err := sql.Open("sqlite", r.VaultAt.DSN+"?_pragma=busy_timeout(15000)")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = db.Close() })
	return db
}

// number reads one number from the vault's file.
func (r *rig) number(db *sql.DB, query string) (n int64) {
	r.t.Helper()
	if err := db.QueryRowContext(context.Background(), query).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// A hold that is ordered while an erasure is prepared counts, also if it is of somebody else in the same events.
func TestHoldOrderedMeanwhile(t *testing.T) { onBoth(t, holdOrderedMeanwhileTest) }

func holdOrderedMeanwhileTest(t *testing.T, r *rig) {
	r.produce("mia", "noah")
	r.awaitSealed()
	noah, _ := r.find("noah")
	w := r.newWorker()
	var once sync.Once
	w.passed = func(step string) {
		if step == stepPrepared {
			once.Do(func() {
				if err := AddHold(context.Background(), r.Vault, vault.Hold{ID: [16]byte{1}, Subject: noah.ID, Reason: "lawsuit 12", Author: "counsel", At: time.Now()}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	r.Run(w.Run)
	if ended := r.awaitEnd(r.submit(erasureOf("mia"))); ended.State != gdpr.StateRefused || !strings.Contains(ended.Reason, "lawsuit 12") {
		t.Errorf("%s, %s", ended.State, ended.Reason)
	}
	if _, found := r.find("mia"); !found {
		t.Error("the content of somebody who is held was destroyed")
	}
}

// A process that stands still while it erases prepares anew: what came meanwhile is from before the erasure. And a transaction that waited for others does not
// count as time in which caches have forgotten.
func TestErasureStandsStill(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "")
	r.awaitSealed()
	db := r.sqlite()
	w := r.newWorker()
	w.roundUntil, w.cfg.Lease = 200*time.Millisecond, 300*time.Millisecond
	prepared := 0
	var destroyed, forgotten time.Time
	w.passed = func(step string) {
		switch step {
		case stepPrepared:
			if prepared++; prepared == 1 {
				until := time.Now().Add(w.roundUntil)
				testkit.Eventually(t, soon, func() bool { return time.Now().After(until) }, "time has passed")
				return
			}
			w.roundUntil = time.Minute
			if prepared > 2 {
				lock, err := db.BeginTx(context.Background(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := lock.ExecContext(context.Background(), "UPDATE change_counter SET changes = changes"); err != nil {
					t.Error(err)
				}
				time.AfterFunc(2*w.cfg.Lease, func() { _ = lock.Rollback() })
			}
		case stepDestroyed:
			destroyed = time.Now()
		case stepForgotten:
			forgotten = time.Now()
		}
	}
	r.Run(w.Run)
	if ended := r.awaitEnd(r.submit(erasureOf("mia"))); ended.State != gdpr.StateCompleted {
		t.Fatal(ended.State, ended.Reason)
	}
	if prepared < 2 {
		t.Error("it was not prepared anew")
	}
	if until, at := r.number(db, "SELECT until_micros FROM suppressions"), r.number(db, "SELECT at_micros FROM destroyed"); until < at {
		t.Errorf("records of the last %v before the erasure would come back as a stranger's", time.Duration(at-until)*time.Microsecond)
	}
	if waited := forgotten.Sub(destroyed); waited < w.cfg.Lease {
		t.Errorf("caches had only %v to forget", waited)
	}
}

// What ties nobody's hash to the entry about the erasure: its times are rounded. And it goes when its time has come.
func TestSuppressionsAreRoundedAndGo(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "")
	r.awaitSealed()
	db := r.sqlite()
	w := r.newWorker()
	w.sweepEvery = 10 * time.Millisecond
	r.Run(w.Run)
	if ended := r.awaitEnd(r.submit(erasureOf("mia"))); ended.State != gdpr.StateCompleted {
		t.Fatal(ended.State, ended.Reason)
	}
	for _, column := range []string{"until_micros", "expires_micros"} {
		if n := r.number(db, "SELECT "+column+" FROM suppressions"); n%w.roundUntil.Microseconds() != 0 {
			t.Errorf("%s tells the moment: %d", column, n)
		}
	}
	if _, err := db.ExecContext(t.Context(), "UPDATE suppressions SET expires_micros = 1"); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, soon, func() bool { return r.number(db, "SELECT count(*) FROM suppressions") == 0 }, "the hash is gone")
}

// As long as somebody who reads keeps what was deleted in the vault's files, there is no receipt that says it was erased.
func TestNoReceiptWhileFilesKeepIt(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "")
	r.awaitSealed()
	db := r.sqlite()
	at := r.VaultAt
	at.Timeout = 200 * time.Millisecond
	deps := r.newWorker().deps
	deps.Vault = r.OpenVault(at)
	w := New(r.newWorker().cfg, deps)
	var once sync.Once
	var reader *sql.Tx
	var taken, forgotten atomic.Int32
	w.passed = func(step string) {
		switch step {
		case stepTaken:
			taken.Add(1)
		case stepPrepared:
			once.Do(func() {
				var err error
				if reader, err = db.BeginTx(context.Background(), nil); err != nil {
					t.Error(err)
					return
				}
				var n int
				if err := reader.QueryRowContext(context.Background(), "SELECT count(*) FROM subjects").Scan(&n); err != nil {
					t.Error(err)
				}
			})
		case stepForgotten:
			forgotten.Add(1)
		}
	}
	request := r.submit(erasureOf("mia"))
	r.Run(w.Run)
	testkit.Eventually(t, soon, func() bool { return taken.Load() >= 3 || forgotten.Load() > 0 }, "it was tried several times")
	if _, found := r.find("mia"); found {
		t.Error("nothing was destroyed")
	}
	if forgotten.Load() > 0 {
		t.Error("it went on to the receipt")
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	if ended := r.awaitEnd(request); ended.State != gdpr.StateCompleted {
		t.Error(ended.State, ended.Reason)
	}
}

// A receipt that somebody has changed in the vault is not signed again, nor shown.
func TestForgedReceiptIsNotSigned(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "")
	r.awaitSealed()
	db := r.sqlite()
	r.start()
	ended := r.awaitEnd(r.submit(erasureOf("mia")))
	if _, err := db.ExecContext(t.Context(), `UPDATE requests SET resume_micros = 1, result = replace(result, '"subjects_destroyed":1', '"subjects_destroyed":7')`); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Vault.Request(t.Context(), ended.ID); !errors.Is(err, vault.ErrForged) {
		t.Errorf("it is shown: %v", err)
	}
	if err := r.newWorker().completeReceipts(t.Context()); err != nil {
		t.Error(err)
	}
	var result string
	var receipt gdpr.Receipt
	err := db.QueryRowContext(t.Context(), "SELECT result FROM requests").Scan(&result)
	if err != nil || json.Unmarshal([]byte(result), &receipt) != nil || receipt.SubjectsDestroyed != 7 {
		t.Fatalf("%s, %v", result, err)
	}
	author, _, err := r.Vault.Author(t.Context(), receipt.Author)
	if err != nil || gdpr.VerifyReceipt(author.Key, &receipt) {
		t.Errorf("it is signed: %v", err)
	}
}

// A hold whose refusal could not stand in the log is not taken: requests would be tried for ever.
func TestHoldOfManyWords(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "")
	r.awaitSealed()
	mia, _ := r.find("mia")
	r.start()
	for bytes := 16_400; bytes > 15_000; bytes -= 10 {
		hold := vault.Hold{ID: [16]byte{1, byte(bytes >> 8), byte(bytes)}, Subject: mia.ID, Reason: strings.Repeat("x", bytes), Author: "counsel", At: time.Now()}
		if AddHold(t.Context(), r.Vault, hold) != nil {
			continue
		}
		if ended := r.awaitEnd(r.submit(erasureOf("mia"))); ended.State != gdpr.StateRefused {
			t.Errorf("%d bytes: %s", bytes, ended.State)
		}
		return
	}
	t.Error("every reason is too long")
}
