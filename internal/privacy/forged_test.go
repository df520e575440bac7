package privacy

import (
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Whoever can write to the vault's database and has no keyring has nobody erased, by no request and no destruction of his own; what is ours is carried out beside it.
func TestForgedRequestsAreNotCarriedOut(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "")
	r.produce("noah", "")
	r.awaitSealed()
	db := r.sqlite()
	attack := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	waiting := erasureOf("noah")
	waiting.VerifiedBy = ""
	unverified := r.submit(waiting)
	attack(`UPDATE requests SET state = 'verified', verified_by = 'operator'`)
	r.start()
	mias := r.submit(erasureOf("mia"))
	if ended := r.awaitEnd(mias); ended.State != gdpr.StateCompleted {
		t.Fatal(ended.State, ended.Reason)
	}
	if _, found := r.find("noah"); !found {
		t.Fatal("he was erased")
	}
	if n := r.number(db, `SELECT count(*) FROM requests WHERE state = 'verified'`); n != 1 {
		t.Errorf("the forged request was touched: %d", n)
	}
	if list, err := r.Vault.Forged(t.Context()); err != nil || len(list) != 1 || list[0].Row != gdpr.SubjectID(unverified.ID).String() {
		t.Errorf("%v, %v", list, err)
	}
}

// awaitForgery waits until a request says that it waits for somebody to look at the vault.
func (r *rig) awaitForgery(request vault.Request) {
	r.t.Helper()
	testkit.Eventually(r.t, soon, func() bool {
		now, _, err := r.Vault.Request(r.t.Context(), request.ID)
		return err == nil && now.State == gdpr.StateWaiting && strings.Contains(now.Reason, "vault check")
	}, "the request says what it waits for")
}

// A destruction that somebody has noted by hand would be said in the log, signed, and carried out by whoever compares a vault with it.
func TestForgedDestructionIsNotSaid(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "")
	r.produce("noah", "")
	r.awaitSealed()
	db := r.sqlite()
	noah, _ := r.find("noah")
	request := r.submit(erasureOf("mia"))
	if _, err := db.ExecContext(t.Context(), `INSERT INTO destroyed (request, subject, key_id, at_micros, exports, mac) SELECT ?, id, key_id, 1, 0, randomblob(33) FROM subjects WHERE id = ?`,
		request.ID[:], noah.ID[:]); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.awaitForgery(request)
	if _, err := db.ExecContext(t.Context(), `DELETE FROM destroyed`); err != nil {
		t.Fatal(err)
	}
	if ended := r.awaitEnd(request); ended.State != gdpr.StateCompleted {
		t.Error(ended.State, ended.Reason)
	}
	if _, found := r.find("mia"); found {
		t.Error("she was not erased")
	}
	if err := r.worker.Replay(t.Context()); err != nil {
		t.Error(err)
	}
	if _, found := r.find("noah"); !found {
		t.Error("he was erased")
	}
}

// Beside a forged legal hold nobody is erased: it may be a genuine one that somebody has lifted. The request says so, and goes on when somebody has looked.
func TestForgedHoldKeepsErasuresWaiting(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "")
	r.produce("noah", "")
	r.awaitSealed()
	db := r.sqlite()
	noah, _ := r.find("noah")
	hold := vault.Hold{ID: [16]byte{1}, Subject: noah.ID, Reason: "case 12", Author: "counsel", At: time.Now()}
	if err := AddHold(t.Context(), r.Vault, hold); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `UPDATE holds SET lifted_micros = 1`); err != nil {
		t.Fatal(err)
	}
	r.start() // nor does it keep the worker from comparing the vault with the log
	request := r.submit(erasureOf("mia"))
	r.awaitForgery(request)
	if _, found := r.find("mia"); !found {
		t.Fatal("she was erased")
	}
	if _, err := db.ExecContext(t.Context(), `DELETE FROM holds`); err != nil {
		t.Fatal(err)
	}
	if ended := r.awaitEnd(request); ended.State != gdpr.StateCompleted {
		t.Error(ended.State, ended.Reason)
	}
}
