package vault

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// Saying is what the log is to say about a change in the vault. It is stored in the change's transaction, so that neither is there without the other, and
// said by whoever reads the outbox. It names nobody.
type Saying struct {
	EventID [16]byte // of the record: the same thing has the same
	At      time.Time
	Record  string // JSON
}

const (
	outboxColumns = `SELECT event_id, at_micros, record, mac FROM outbox`
	insertSaying  = `INSERT INTO outbox (event_id, at_micros, record, mac) VALUES (?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING`
	// selectUnsaid has what is claimed as well: nothing is said before what was noted before it.
	selectUnsaid = outboxColumns + ` ORDER BY at_micros, event_id LIMIT ?`
	claimSaying  = `UPDATE outbox SET claimed_micros = ? WHERE event_id = ? AND (claimed_micros < ? OR claimed_micros > ?)`
)

// errClaimed: somebody else is saying it.
var errClaimed = errors.New("claimed by somebody else")

// describe is for a MAC: what stands here is signed by whoever says it, and believed by restored vaults.
func (s *Saying) describe(t *rowText) {
	t.begin("outbox", s.EventID)
	t.time(s.At)
	t.string(s.Record)
}

func scanSaying(rows scanner, s *Saying) error {
	return rows.Scan(fixed(s.EventID[:]), microTime{&s.At}, &s.Record)
}

// note stores what is to be said about a change.
func (v *Vault) note(ctx context.Context, tx *sql.Tx, said []Saying) error {
	for i := range said {
		if _, err := tx.ExecContext(ctx, v.db.query(insertSaying), said[i].EventID[:], said[i].At.UnixMicro(), said[i].Record, v.mac(&said[i])); err != nil {
			return err
		}
	}
	return nil
}

// Note stores what is to be said about something that is not in the vault.
func (v *Vault) Note(ctx context.Context, said ...Saying) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	if err := v.db.inTransaction(ctx, func(tx *sql.Tx) error { return v.note(ctx, tx, said) }); err != nil {
		return v.failed("note what is to be said", err)
	}
	return nil
}

// changeAndNote makes one change, and notes what is to be said about it if there was one.
func (v *Vault) changeAndNote(ctx context.Context, said []Saying, query string, args ...any) (changed bool, err error) {
	err = v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, v.db.query(query), args...)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if changed = n > 0; err != nil || !changed {
			return err
		}
		return v.note(ctx, tx, said)
	})
	return changed, err
}

// ClaimUnsaid returns the earliest of what is to be said, in order, for the caller to say until a time; nothing if somebody else is at it. What none of our processes
// has noted is never said: it is removed, so that it does not keep what is behind it.
func (v *Vault) ClaimUnsaid(ctx context.Context, limit int, now, until time.Time) ([]Saying, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	// Most of the time there is nothing, and nobody waits for a lock to find that out.
	some, forged, err := sorted(ctx, v, v.db.read, scanSaying, selectUnsaid, limit)
	if err != nil {
		return nil, v.failed("read the outbox", err)
	}
	if len(forged) > 0 {
		remove := make([]Saying, len(forged))
		for i := range forged {
			remove[i] = forged[i].row
		}
		if err := v.Said(ctx, remove); err != nil {
			return nil, err
		}
	}
	if len(some) == 0 {
		return nil, nil
	}
	err = v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		for i := range some {
			result, err := tx.ExecContext(ctx, v.db.query(claimSaying), until.UnixMicro(), some[i].EventID[:], now.UnixMicro(), now.Add(maxClaim).UnixMicro())
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); err != nil || n == 0 {
				return errors.Join(err, errClaimed)
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, errClaimed):
		return nil, nil
	case err != nil:
		return nil, v.failed("claim what is in the outbox", err)
	}
	return some, nil
}

// Unsaid says whether anything is still to be said that was noted before a time.
func (v *Vault) Unsaid(ctx context.Context, before time.Time) (bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	first, err := collectWithMAC(ctx, v.db.read, scanSaying, v.db.query(selectUnsaid), 1)
	if err != nil {
		return false, v.failed("read the outbox", err)
	}
	return len(first) == 1 && first[0].row.At.Before(before), nil
}

// Said deletes what stands in the log now.
func (v *Vault) Said(ctx context.Context, said []Saying) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	ids := make([][]byte, len(said))
	for i := range said {
		ids[i] = said[i].EventID[:]
	}
	if _, err := v.db.exec(ctx, `DELETE FROM outbox WHERE `+v.db.in("event_id"), v.db.set(ids)); err != nil {
		return v.failed("delete what was said from the outbox", err)
	}
	return nil
}
