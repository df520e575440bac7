package notify

import (
	"database/sql"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// attack does what whoever can write to the vault's database does, and lacks the keyring.
func (w *world) attack(statement string) {
	w.t.Helper()
	db, err := sql.Open("sqlite", vaultConfig(w.dir).DSN)
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	result, err := db.ExecContext(w.t.Context(), statement)
	if err != nil {
		w.t.Fatal(err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		w.t.Fatal(n, err)
	}
}

// Who can write to the vault without the keyring keeps nobody from being told, and has nobody told what nobody has found.
func TestForgedAlerts(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.stop() // it reads no more than this test says
		in := incident(anomaly.High)
		w.say(in)
		w.attack(`UPDATE notice_posts SET pending = 0, sent_version = 1, told_version = 1`)
		w.start()
		w.pass(2 * time.Second)
		w.stands(alerts, 1, in)
		w.stop()

		// Told that it stands elsewhere, the message is not changed there, but posted.
		w.attack(`UPDATE notice_posts SET channel = '` + oncall + `', pending = 0`)
		w.start()
		w.pass(2 * time.Second)
		w.stands(alerts, 2, in, in)
		w.stands(oncall, 0)
		w.stop()

		other := incident(anomaly.Low)
		w.say(other)
		w.attack(`UPDATE notices SET body = replace(body, 'acme', 'evil'), status = 'withdrawn' WHERE revision = 1 AND severity = 1`)
		w.start()
		w.pass(time.Minute)
		w.stands(alerts, 2, in, in)
		other = next(other, func(in *anomaly.Incident) { in.CostUSD = 99 })
		w.say(other)
		w.pass(2 * time.Second)
		w.stands(alerts, 3, in, in, other)
	})
}
