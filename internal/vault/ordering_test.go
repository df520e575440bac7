package vault

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// uncovered are the columns that MACs leave out, and mac itself: they only say when somebody looks again, or open at their own row only.
var uncovered = map[string][]string{
	"requests": {"wrapped", "identity", "resume_micros", "claimed_micros"}, "api_keys": {"used_micros"}, "exports": {"wrapped", "secret", "events", "total"},
	"consent_changes": {"reference"}, "outbox": {"claimed_micros"}, "detector_snapshot": {"one"}, // which cannot be anything else
}

// ordering is a vault with a row in each table whose rows have MACs.
type ordering struct {
	*Vault
	t       *testing.T
	people  []Subject
	request Request
	mu      sync.Mutex
	forged  map[string]bool // tables of rows that were reported
	turn    *Turn           // of the detector
}

func newOrdering(t *testing.T, cfg Config) *ordering {
	t.Helper()
	o := &ordering{t: t, forged: map[string]bool{}}
	cfg.Forged = func(e *ForgedError) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.forged[e.Table] = true
	}
	o.Vault = newVault(t, cfg)
	o.fill()
	return o
}

func (o *ordering) check(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *ordering) fill() {
	o.t.Helper()
	ctx := o.t.Context()
	ids := people(0, 4)
	o.people = subjectsOf(o.t, o.Vault, ids...)
	o.request = working(o.t, o.Vault, 1, ids[0])
	o.check(o.NoteSubject(ctx, o.request.ID, o.people[0].ID))
	attempt := Export{Request: o.request.ID, Attempt: [16]byte{3}, Subject: o.people[0].ID}
	if begun, err := o.BeginExport(ctx, attempt, []byte("secret")); err != nil || !begun {
		o.t.Fatal(begun, err)
	}
	_, err := o.AddAPIKey(ctx, APIKey{ID: [16]byte{4}, Hash: [32]byte{4}, Role: "auditor", Tenant: "acme", Name: "n", Added: at, Expires: time.Now().Add(time.Hour)})
	o.check(err)
	o.check(o.AddAuthor(ctx, Author{"exporter-1", ed25519.PublicKey(bytes.Repeat([]byte{5}, 32))}))
	o.check(o.AddHold(ctx, Hold{ID: [16]byte{6}, Subject: o.people[1].ID, Reason: "case 12", Author: "counsel", At: at}, Saying{EventID: [16]byte{7}, At: at, Record: `{}`}))
	found, err := o.Restrict(ctx, o.people[1].ID, [16]byte{8}, at)
	if o.check(err); !found {
		o.t.Fatal("nobody restricted")
	}
	_, _, _, err = o.ChangeConsent(ctx, ids[1], ConsentChange{ID: [16]byte{9}, Purpose: "marketing", State: gdpr.ConsentGranted, At: at, Reference: "form 12"},
		func(gdpr.SubjectID) (Saying, error) { return Saying{EventID: [16]byte{10}, At: at, Record: `{}`}, nil })
	o.check(err)
	if _, gone, err := o.Erase(ctx, Erasure{Request: [16]byte{11}, Subject: o.people[3].ID, At: at, Weighed: [][16]byte{{6}}, Suppression: Suppression{Until: at, Expires: at}}); err != nil || !gone {
		o.t.Fatal(gone, err)
	}
	o.fillLater()
}

// fillLater fills the tables that have MACs since version 15.
func (o *ordering) fillLater() {
	o.t.Helper()
	ctx := o.t.Context()
	o.check(o.Reopen(ctx, 0, Generation{
		Topic: "events", Partition: 3, Generation: 1, Log: "events/3.1", Predecessor: "events/3", PredecessorSize: 9, PredecessorHead: chain.Hash{5}, FirstOffset: 12,
		Reason: "r", At: at,
	}))
	open := breach(12, at)
	open.Entries = [][16]byte{{1}}
	o.check(o.AddBreach(ctx, open))
	if told, err := o.AddBreachNotice(ctx, open.ID, BreachNotice{gdpr.ToSubjects, "letter", at}); err != nil || !told {
		o.t.Fatal(told, err)
	}
	notice := incidentNotice(13, 2, at)
	if kept, err := o.KeepNotice(ctx, notice, []string{"slack:C1"}); err != nil || !kept {
		o.t.Fatal(kept, err)
	}
	turn := o.NewTurn("detector", shortTurn)
	o.check(turn.Await(ctx, nil))
	o.turn = turn
	o.check(o.SaveDetector(ctx, turn, []DetectorState{{ID: []byte("k"), Subject: o.people[0].ID, State: []byte("learned")}}, DetectorPlaces{"events/3": 5}))
}

// attack does what whoever has the database and not the keyring can do.
func (o *ordering) attack(statement string, args ...any) {
	o.t.Helper()
	if _, err := o.db.write.ExecContext(o.t.Context(), o.db.query(statement), args...); err != nil {
		o.t.Fatal(err)
	}
}

// save keeps all that attacks and tests change here. The returned function puts it back.
func (o *ordering) save() (restore func()) {
	o.t.Helper()
	tables := []string{"subjects", "changes", "change_counter"}
	for _, table := range macTables() {
		tables = append(tables, table.name)
	}
	for _, table := range tables {
		o.attack("CREATE TABLE saved_" + table + " AS SELECT * FROM " + table)
	}
	return func() {
		o.t.Helper()
		err := o.db.inTransaction(context.Background(), func(tx *sql.Tx) error {
			var statements []string
			for _, table := range tables {
				statements = append(statements, "INSERT INTO "+table+" SELECT * FROM saved_"+table)
			}
			for i := range slices.Backward(tables) { // what refers to others comes behind them
				statements = slices.Insert(statements, len(tables)-1-i, "DELETE FROM "+tables[i])
			}
			for _, statement := range statements {
				if _, err := tx.ExecContext(context.Background(), statement); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			o.t.Fatal(err)
		}
	}
}

func (o *ordering) wantForged(tables ...string) {
	o.t.Helper()
	list, err := o.Forged(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	found := map[string]bool{}
	for _, e := range list {
		found[e.Table] = true
	}
	if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, slices.Sorted(slices.Values(tables))) {
		o.t.Errorf("forged rows in %v, want %v", got, tables)
	}
}

// unlinked has PostgreSQL forget what refers to notices, as whoever may alter its tables can.
func (o *ordering) unlinked(driver string) {
	if driver == DriverPostgres {
		o.attack(`ALTER TABLE notice_posts DROP CONSTRAINT notice_posts_notice_fkey`)
	}
}

// first returns the columns of a table and the values of one row.
func (o *ordering) first(table string) ([]string, []any) {
	o.t.Helper()
	rows, err := o.db.write.QueryContext(o.t.Context(), "SELECT * FROM "+table+" LIMIT 1")
	if err != nil {
		o.t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil || !rows.Next() {
		o.t.Fatal(table, err, rows.Err())
	}
	values, to := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		to[i] = &values[i]
	}
	if err := rows.Scan(to...); err != nil {
		o.t.Fatal(err)
	}
	return columns, values
}

// other is another value of the same type, and of the same length if that is checked.
func other(value any) any {
	switch value := value.(type) {
	case []byte:
		changed := bytes.Clone(value)
		changed[len(changed)-1] ^= 1
		return changed
	case string:
		if value == string(NoticeIncident) {
			return string(NoticeDigest) // the table has no other kinds
		}
		return value + "x"
	case int64:
		return value + 1
	}
	panic(fmt.Sprintf("a value of type %T", value))
}
