package vault

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

const tableDetectorStates = "detector_states"

// DetectorState is what the detector has learned of one entity.
type DetectorState struct {
	ID      []byte         // of the entity, at most 1 KiB
	Subject gdpr.SubjectID // zero: it is about no person
	State   []byte         // empty: there is none any more
}

// DetectorPlaces says from which offset each partition of a topic is to be read on: `<topic>/<partition>` to offset.
type DetectorPlaces map[string]int64

const (
	selectSnapshot = `SELECT version, term, places FROM detector_snapshot`
	updateSnapshot = `UPDATE detector_snapshot SET version = ?, term = ?, places = ? WHERE version = ?`
	// Rows behind the snapshot are of one that was never finished.
	deleteUnfinished = `DELETE FROM detector_states WHERE version > ?`
	selectStates     = `SELECT id, version, subject, state FROM detector_states WHERE id > ? AND version <= ? ORDER BY id, version LIMIT ?`
	deleteOlder      = `DELETE FROM detector_states WHERE version < ? AND `
	deleteEmpty      = `DELETE FROM detector_states WHERE version <= ? AND length(state) = 0`
)

const (
	// statesPerTransaction keeps transactions so short that ingest, which adds people to the same database, does not feel them.
	statesPerTransaction = 500
	statesPerStatement   = 25
	statesPerRead        = 2000
)

type snapshotRow struct {
	version, term int64
	places        string
}

func scanSnapshot(rows *sql.Rows, r *snapshotRow) error {
	return rows.Scan(&r.version, &r.term, &r.places)
}

func (v *Vault) snapshot(ctx context.Context, q queryer) (snapshotRow, error) {
	rows, err := collect(ctx, q, scanSnapshot, selectSnapshot)
	if err != nil {
		return snapshotRow{}, err
	}
	if len(rows) != 1 {
		return snapshotRow{}, fmt.Errorf("%w: the detector's snapshot has %d rows", ErrDamaged, len(rows))
	}
	return rows[0], nil
}

// SaveDetector stores a snapshot: the states that have changed since the last one, and the places that belong to them. Either all of it is there afterwards or,
// for whoever loads, nothing. States of people who are gone are left out. It fails with ErrTurnLost, and has changed nothing that counts, when the turn is
// another process's by then.
func (v *Vault) SaveDetector(ctx context.Context, turn *Turn, changed []DetectorState, places DetectorPlaces) error {
	where, err := json.Marshal(places)
	if err != nil {
		return fmt.Errorf("save the detector's state: %w", err)
	}
	failed := func(err error) error { return v.failed("save the detector's state", err) }
	var last snapshotRow
	err = v.inBoundedTransaction(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		if err := turn.mine(ctx, tx); err != nil {
			return err
		}
		if last, err = v.snapshot(ctx, tx); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, v.db.query(deleteUnfinished), last.version)
		return err
	})
	if err != nil {
		return failed(err)
	}
	version := last.version + 1
	for some := range slices.Chunk(changed, statesPerTransaction) {
		err := v.inBoundedTransaction(ctx, func(ctx context.Context, tx *sql.Tx) error {
			if err := turn.mine(ctx, tx); err != nil {
				return err
			}
			return v.insertStates(ctx, tx, version, some)
		})
		if err != nil {
			return failed(err)
		}
	}
	err = v.inBoundedTransaction(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := turn.mine(ctx, tx); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, v.db.query(updateSnapshot), version, turn.Term(), string(where), last.version)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n != 1 {
			return fmt.Errorf("%w: somebody else has stored a snapshot (%w)", ErrTurnLost, err)
		}
		return nil
	})
	if err != nil {
		return failed(err)
	}
	// From here on the snapshot counts. What it replaced goes now; if this fails, the next one takes it along, as rows of the same entities or at the next load.
	for some := range slices.Chunk(changed, statesPerTransaction) {
		ids := make([][]byte, len(some))
		for i := range some {
			ids[i] = some[i].ID
		}
		if err := v.deleteStates(ctx, deleteOlder+v.db.in("id"), version, v.db.set(ids)); err != nil {
			return failed(err)
		}
	}
	return failedIf(failed, v.deleteStates(ctx, deleteEmpty, version))
}

func failedIf(failed func(error) error, err error) error {
	if err == nil {
		return nil
	}
	return failed(err)
}

func (v *Vault) inBoundedTransaction(ctx context.Context, work func(ctx context.Context, tx *sql.Tx) error) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	return v.db.inTransaction(ctx, func(tx *sql.Tx) error { return work(ctx, tx) })
}

func (v *Vault) deleteStates(ctx context.Context, query string, args ...any) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	_, err := v.db.exec(ctx, query, args...)
	return err
}

// insertStates stores states of one version, except those of people who are not there (any more). It holds the people until the end of the transaction: an
// erasure comes either before, and there is nothing to store, or behind it, and deletes what was stored.
func (v *Vault) insertStates(ctx context.Context, tx *sql.Tx, version int64, states []DetectorState) error {
	var people [][]byte
	for i := range states {
		if s := &states[i]; s.Subject != (gdpr.SubjectID{}) {
			people = append(people, s.Subject[:])
		}
	}
	there := map[gdpr.SubjectID]bool{}
	if len(people) > 0 {
		found, err := collect(ctx, tx, scanID, v.db.query(`SELECT id FROM subjects WHERE `+v.db.in("id")+v.db.forShare()), v.db.set(people))
		if err != nil {
			return err
		}
		for _, id := range found {
			there[gdpr.SubjectID(id)] = true
		}
	}
	for some := range slices.Chunk(states, statesPerStatement) {
		args := make([]any, 0, 4*len(some))
		for i := range some {
			s := &some[i]
			switch {
			case s.Subject == (gdpr.SubjectID{}):
				args = append(args, s.ID, version, nil, nonNil(s.State))
			case there[s.Subject]:
				args = append(args, s.ID, version, s.Subject[:], nonNil(s.State))
			}
		}
		if len(args) == 0 {
			continue
		}
		statement := `INSERT INTO detector_states (id, version, subject, state) VALUES (?, ?, ?, ?)` + strings.Repeat(`, (?, ?, ?, ?)`, len(args)/4-1)
		if _, err := tx.ExecContext(ctx, v.db.query(statement), args...); err != nil {
			return err
		}
	}
	return nil
}

// nonNil: a driver takes nil for NULL.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

type stateRow struct {
	DetectorState
	version int64
}

func scanState(rows *sql.Rows, r *stateRow) error {
	var subject []byte
	if err := rows.Scan(&r.ID, &r.version, &subject, &r.State); err != nil || subject == nil {
		return err
	}
	return fixed(r.Subject[:]).Scan(subject)
}

// LoadDetector gives each state of the last complete snapshot to take, and returns the places that belong to them; none if there is no snapshot yet. States are
// valid until take returns.
func (v *Vault) LoadDetector(ctx context.Context, take func(DetectorState) error) (DetectorPlaces, error) {
	last, err := v.loadSnapshot(ctx)
	if err != nil {
		return nil, v.failed("load the detector's state", err)
	}
	places := DetectorPlaces{}
	if err := json.Unmarshal([]byte(last.places), &places); err != nil {
		return nil, fmt.Errorf("load the detector's state: %w: its places: %w", ErrDamaged, err)
	}
	// The state of an entity is its newest row. What a page ends with is given only when the next one shows that nothing newer follows.
	var pending *stateRow
	give := func() error {
		if pending == nil || len(pending.State) == 0 {
			return nil
		}
		return take(pending.DetectorState)
	}
	from := []byte{}
	for {
		rows, err := v.statesAfter(ctx, from, last.version)
		if err != nil {
			return nil, v.failed("load the detector's state", err)
		}
		for i := range rows {
			if pending != nil && string(pending.ID) != string(rows[i].ID) {
				if err := give(); err != nil {
					return nil, err
				}
			}
			pending = &rows[i]
		}
		if len(rows) == 0 {
			return places, give()
		}
		from = rows[len(rows)-1].ID
	}
}

func (v *Vault) loadSnapshot(ctx context.Context) (snapshotRow, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	last, err := v.snapshot(ctx, v.db.read)
	return last, v.db.settled(err)
}

// statesAfter returns whole entities only: an entity has very few rows, and those that a page would cut come with the next one.
func (v *Vault) statesAfter(ctx context.Context, id []byte, version int64) ([]stateRow, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	rows, err := collect(ctx, v.db.read, scanState, v.db.query(selectStates), id, version, statesPerRead)
	if err := v.db.settled(err); err != nil {
		return nil, err
	}
	if len(rows) == statesPerRead {
		last := rows[len(rows)-1].ID
		for len(rows) > 0 && string(rows[len(rows)-1].ID) == string(last) {
			rows = rows[:len(rows)-1]
		}
	}
	return rows, nil
}
