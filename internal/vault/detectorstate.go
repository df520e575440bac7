package vault

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
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
	selectSnapshot = `SELECT version, term, places, mac FROM detector_snapshot`
	upsertSnapshot = `INSERT INTO detector_snapshot (one, version, term, places, mac) VALUES (1, ?, ?, ?, ?)
		ON CONFLICT (one) DO UPDATE SET version = excluded.version, term = excluded.term, places = excluded.places, mac = excluded.mac`
	// Rows behind the snapshot are of one that was never finished.
	deleteUnfinished = `DELETE FROM detector_states WHERE version > ?`
	selectStates     = `SELECT id, version, subject, state, mac FROM detector_states WHERE (id, version) > (?, ?) ORDER BY id, version LIMIT ?`
	updateStateMAC   = `UPDATE detector_states SET mac = ? WHERE id = ? AND version = ?`
	// deleteSomeStates is bounded so that others are not kept waiting.
	deleteSomeStates = `DELETE FROM detector_states WHERE id IN (SELECT id FROM detector_states LIMIT ?)`
	deleteOlder      = `DELETE FROM detector_states WHERE version < ? AND `
	deleteEmpty      = `DELETE FROM detector_states WHERE version <= ? AND length(state) = 0`
)

const (
	// statesPerTransaction keeps transactions so short that ingest, which adds people to the same database, does not feel them.
	statesPerTransaction = 500
	statesPerStatement   = 25
	statesPerRead        = 2000
)

// noPlaces are those of the snapshot of which nothing was learned yet.
const noPlaces = "{}"

// snapshotRow has a MAC: with a place of somebody's choice, events would be skipped of which nothing would be noticed.
type snapshotRow struct {
	version, term int64
	places        string
}

func (r *snapshotRow) describe(t *rowText) {
	t.beginNamed("detector_snapshot", "1")
	t.number(r.version)
	t.number(r.term)
	t.string(r.places)
}

// forgedSnapshot is the error that the snapshot is not what our processes have stored last.
func forgedSnapshot() *ForgedError { return &ForgedError{Table: "detector_snapshot", Row: "1"} }

func scanSnapshot(rows scanner, r *snapshotRow) error {
	return rows.Scan(&r.version, &r.term, &r.places)
}

// snapshot returns the last complete one. ErrForged if it is not ours, or was deleted.
func (v *Vault) snapshot(ctx context.Context, q queryer) (snapshotRow, error) {
	rows, err := genuine(ctx, v, q, scanSnapshot, selectSnapshot)
	if err != nil {
		return snapshotRow{}, err
	}
	if len(rows) != 1 {
		return snapshotRow{}, v.tell(forgedSnapshot())
	}
	return rows[0], nil
}

// lastSnapshot is snapshot for who holds a turn, and knows by itself which one it has stored last: whatever stands there instead, older or forged, is somebody
// else's work, is reported, and is replaced with the next snapshot.
func (t *Turn) lastSnapshot(ctx context.Context, tx *sql.Tx) (version int64, err error) {
	last, err := t.vault.snapshot(ctx, tx)
	stored := t.stored.Load()
	switch {
	case stored == 0:
		return last.version, err
	case err == nil && last.version == stored+1 && last.term == t.Term():
		return last.version, nil // SaveDetector failed, and has stored it all the same
	case err == nil && last.version != stored:
		_ = t.vault.tell(forgedSnapshot())
	case err != nil && !errors.Is(err, ErrForged):
		return 0, err
	}
	return stored, nil
}

func storeSnapshot(ctx context.Context, db *database, tx *sql.Tx, secrets *deploymentSecrets, row *snapshotRow) error {
	_, err := tx.ExecContext(ctx, db.query(upsertSnapshot), row.version, row.term, row.places, secrets.stamp().of(row))
	return err
}

// SaveDetector stores a snapshot: the states that have changed since the last one, and the places that belong to them. Either all of it is there afterwards or,
// for whoever loads, nothing. States of people who are gone are left out. It fails with ErrTurnLost, and has changed nothing that counts, when the turn is
// another process's by then, and with ErrForged when the snapshot before is not ours and was not stored in this turn: what was learned must be loaded anew then.
//
// Of one turn one SaveDetector runs at a time.
func (v *Vault) SaveDetector(ctx context.Context, turn *Turn, changed []DetectorState, places DetectorPlaces) error {
	where, err := json.Marshal(places)
	if err != nil {
		return fmt.Errorf("save the detector's state: %w", err)
	}
	failed := func(err error) error { return v.failed("save the detector's state", err) }
	var last int64
	err = v.inBoundedTransaction(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		if err := turn.mine(ctx, tx); err != nil {
			return err
		}
		if last, err = turn.lastSnapshot(ctx, tx); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, v.db.query(deleteUnfinished), last)
		return err
	})
	if err != nil {
		return failed(err)
	}
	version := last + 1
	stamp := v.secrets.stamp()
	for some := range slices.Chunk(changed, statesPerTransaction) {
		err := v.inBoundedTransaction(ctx, func(ctx context.Context, tx *sql.Tx) error {
			if err := turn.mine(ctx, tx); err != nil {
				return err
			}
			return v.insertStates(ctx, tx, stamp, version, some)
		})
		if err != nil {
			return failed(err)
		}
	}
	err = v.inBoundedTransaction(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := turn.mine(ctx, tx); err != nil {
			return err
		}
		return storeSnapshot(ctx, v.db, tx, &v.secrets, &snapshotRow{version, turn.Term(), string(where)})
	})
	if err != nil {
		// Whether it is stored is not known. If it is, the next one is stored over it.
		return failed(err)
	}
	turn.stored.Store(version)
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

// ResetDetector forgets what was learned, and the places that belong to it: for when LoadDetector said ErrForged. Who loads afterwards begins with nothing, at the
// first records that there are, so that none is skipped.
func (v *Vault) ResetDetector(ctx context.Context, turn *Turn) error {
	failed := func(err error) error { return v.failed("forget the detector's state", err) }
	for deleted := int64(1); deleted > 0; {
		err := v.inBoundedTransaction(ctx, func(ctx context.Context, tx *sql.Tx) error {
			if err := turn.mine(ctx, tx); err != nil {
				return err
			}
			result, err := tx.ExecContext(ctx, v.db.query(deleteSomeStates), statesPerRead)
			if err != nil {
				return err
			}
			deleted, err = result.RowsAffected()
			return err
		})
		if err != nil {
			return failed(err)
		}
	}
	return failedIf(failed, v.inBoundedTransaction(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := turn.mine(ctx, tx); err != nil {
			return err
		}
		return storeSnapshot(ctx, v.db, tx, &v.secrets, &snapshotRow{0, turn.Term(), noPlaces})
	}))
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
func (v *Vault) insertStates(ctx context.Context, tx *sql.Tx, stamp *stamp, version int64, states []DetectorState) error {
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
	macs := make([]byte, 0, statesPerStatement*rowMACBytes)
	row := &stateRow{version: version}
	for some := range slices.Chunk(states, statesPerStatement) {
		args := make([]any, 0, 5*len(some))
		macs = macs[:0]
		for i := range some {
			s := &some[i]
			var subject any // none
			if s.Subject != (gdpr.SubjectID{}) {
				if !there[s.Subject] {
					continue
				}
				subject = s.Subject[:]
			}
			begin := len(macs)
			row.DetectorState = *s
			macs = append(macs, stamp.of(row)...)
			args = append(args, s.ID, version, subject, nonNil(s.State), macs[begin:])
		}
		if len(args) == 0 {
			continue
		}
		statement := `INSERT INTO detector_states (id, version, subject, state, mac) VALUES (?, ?, ?, ?, ?)` + strings.Repeat(`, (?, ?, ?, ?, ?)`, len(args)/5-1)
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

// stateRow has a MAC: what was learned decides what is usual, and what is said of it.
type stateRow struct {
	DetectorState
	version int64
}

func (r *stateRow) describe(t *rowText) {
	t.beginNamed(tableDetectorStates, "")
	t.named = r
	t.bytes(r.ID)
	t.number(r.version)
	t.bytes(r.Subject[:])
	t.bytes(r.State)
}

// name is how errors call a state: its id holds names that are nobody's business.
func (r *stateRow) name() string {
	hash := sha256.Sum256(r.ID)
	return shownKey(hash[:8]) + " version " + strconv.FormatInt(r.version, 10)
}

func scanState(rows scanner, r *stateRow) error {
	var subject []byte
	if err := rows.Scan(&r.ID, &r.version, &subject, &r.State); err != nil || subject == nil {
		return err
	}
	return fixed(r.Subject[:]).Scan(subject)
}

// LoadDetector gives each state of the last complete snapshot to take, and returns the places that belong to them; none if there is no snapshot yet. States are
// valid until take returns. A state that is not ours is left out and told to forged, if that is not nil. ErrForged if the snapshot itself is not ours or an earlier
// one than states are from: then nothing that was given counts, and where to read on is not known.
func (v *Vault) LoadDetector(ctx context.Context, take func(DetectorState) error, forged func(*ForgedError)) (DetectorPlaces, error) {
	last, err := v.loadSnapshot(ctx)
	if err != nil {
		return nil, v.failed("load the detector's state", err)
	}
	places := DetectorPlaces{}
	if err := json.Unmarshal([]byte(last.places), &places); err != nil {
		return nil, fmt.Errorf("load the detector's state: %w: its places: %w", ErrDamaged, err)
	}
	// The state of an entity is its newest row, so one is given when the next one is of somebody else.
	var pending stateRow
	give := func() error {
		if len(pending.State) == 0 {
			return nil
		}
		return take(pending.DetectorState)
	}
	wentBack := false
	err = v.eachState(ctx, v.readStates, func(r *stateRow, err *ForgedError) error {
		switch {
		case err != nil:
			_ = v.tell(err)
			if forged != nil {
				forged(err)
			}
			return nil // as if it were not there: an older one that is ours counts
		case r.version > last.version:
			// A snapshot that was not finished leaves rows of the version behind the last one. Later ones came behind one that was.
			wentBack = wentBack || r.version > last.version+1
			return nil
		}
		if string(pending.ID) != string(r.ID) {
			if err := give(); err != nil {
				return err
			}
		}
		pending = *r
		return nil
	})
	if err == nil {
		err = give()
	}
	if err == nil && wentBack {
		err = v.tell(forgedSnapshot())
	}
	if err != nil {
		return nil, v.failed("load the detector's state", err)
	}
	return places, nil
}

func (v *Vault) loadSnapshot(ctx context.Context) (snapshotRow, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	last, err := v.snapshot(ctx, v.db.read)
	return last, v.db.settled(err)
}

// readStates returns the rows behind a place, with their MACs.
func (v *Vault) readStates(ctx context.Context, id []byte, version int64) ([]withMAC[stateRow], error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	rows, err := collectWithMAC(ctx, v.db.read, scanState, v.db.query(selectStates), id, version, statesPerRead)
	return rows, v.db.settled(err)
}

// eachState gives all rows to take in order of ids and versions, as many at a time as read returns, each with an error if it is not ours. Nobody is told of it.
func (v *Vault) eachState(ctx context.Context, read func(ctx context.Context, id []byte, version int64) ([]withMAC[stateRow], error), take func(*stateRow, *ForgedError) error) error {
	stamp := v.secrets.stamp()
	id, version := []byte{}, int64(math.MinInt64)
	for {
		rows, err := read(ctx, id, version)
		if err != nil || len(rows) == 0 {
			return err
		}
		for i := range rows {
			if err := take(&rows[i].row, stamp.check(&rows[i].row, rows[i].mac)); err != nil {
				return err
			}
		}
		last := &rows[len(rows)-1].row
		id, version = last.ID, last.version
	}
}

// addStateMACs is macTable.add: there may be a million rows.
func addStateMACs(ctx context.Context, v *Vault, tx *sql.Tx) error {
	set, err := tx.PrepareContext(ctx, v.db.query(updateStateMAC))
	if err != nil {
		return err
	}
	defer set.Close()
	stamp := v.secrets.stamp()
	read := func(ctx context.Context, id []byte, version int64) ([]withMAC[stateRow], error) {
		rows, err := collectWithMAC(ctx, tx, scanState, v.db.query(selectStates), id, version, statesPerRead)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			mac := stamp.of(&rows[i].row)
			if rows[i].mac != nil {
				return nil, stamp.text.forged() // see tableOf
			}
			if _, err := set.ExecContext(ctx, mac, rows[i].row.ID, rows[i].row.version); err != nil {
				return nil, err
			}
		}
		return rows, nil
	}
	return v.eachState(ctx, read, func(*stateRow, *ForgedError) error { return nil })
}

// forgedStates is macTable.forged.
func forgedStates(ctx context.Context, v *Vault) (list []*ForgedError, err error) {
	err = v.eachState(ctx, v.readStates, func(_ *stateRow, err *ForgedError) error {
		if err != nil {
			list = append(list, v.tell(err))
		}
		return nil
	})
	return list, err
}
