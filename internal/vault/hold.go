package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Hold is a legal hold: the subject's data must not be destroyed for now.
type Hold struct {
	ID      [16]byte
	Subject gdpr.SubjectID
	Reason  string // for people; names nobody
	Author  string // who ordered it
	At      time.Time
	Expires time.Time // zero: until it is lifted
	Lifted  time.Time // zero: it is not
}

// Active says whether it holds at a time.
func (h *Hold) Active(now time.Time) bool {
	return h.Lifted.IsZero() && (h.Expires.IsZero() || now.Before(h.Expires))
}

// HeldError says that a legal hold keeps data from being destroyed.
type HeldError struct{ Hold Hold }

// Error names the hold, its reason and its end, and nobody.
func (e *HeldError) Error() string {
	until := "until it is lifted"
	if !e.Hold.Expires.IsZero() {
		until = "until " + e.Hold.Expires.Format(time.RFC3339)
	}
	return fmt.Sprintf("legal hold %s of %s, %s: %s", gdpr.SubjectID(e.Hold.ID), e.Hold.Author, until, e.Hold.Reason)
}

const (
	holdColumns = `SELECT id, subject, reason, author, at_micros, expires_micros, lifted_micros, mac FROM holds`
	insertHold  = `INSERT INTO holds (id, subject, reason, author, at_micros, expires_micros, mac) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`
	liftHold    = `UPDATE holds SET lifted_micros = ?, mac = ? WHERE id = ?`
)

func (h *Hold) describe(t *rowText) {
	t.begin("holds", h.ID)
	t.bytes(h.Subject[:])
	t.string(h.Reason)
	t.string(h.Author)
	t.time(h.At)
	t.time(h.Expires)
	t.time(h.Lifted)
}

func scanHold(rows scanner, h *Hold) error {
	if err := rows.Scan(fixed(h.ID[:]), fixed(h.Subject[:]), &h.Reason, &h.Author, microTime{&h.At}, microTime{&h.Expires}, microTime{&h.Lifted}); err != nil {
		return err
	}
	for _, t := range []*time.Time{&h.Expires, &h.Lifted} {
		if t.UnixMicro() == 0 {
			*t = time.Time{}
		}
	}
	return nil
}

func microsOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// AddHold stores a hold. It is no error if it is there already, so a call whose outcome is unknown can be repeated.
func (v *Vault) AddHold(ctx context.Context, h Hold, said ...Saying) error {
	if h.Reason == "" || h.Author == "" {
		return errors.New("a legal hold needs a reason and an author")
	}
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	h.Lifted = time.Time{}
	_, err := v.changeAndNote(ctx, said, insertHold, h.ID[:], h.Subject[:], h.Reason, h.Author, h.At.UnixMicro(), microsOrZero(h.Expires), v.mac(&h))
	if err != nil {
		return v.failed("store a legal hold", err)
	}
	return nil
}

// LiftHold ends a hold, and returns false if there is none that holds.
func (v *Vault) LiftHold(ctx context.Context, id [16]byte, at time.Time, said ...Saying) (bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	lifted := false
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		lifted = false
		list, err := genuine(ctx, v, tx, scanHold, holdColumns+` WHERE id = ?`+v.db.forUpdate(), id[:])
		if err != nil || len(list) == 0 || !list[0].Lifted.IsZero() {
			return err
		}
		hold := &list[0]
		hold.Lifted = at
		if _, err := tx.ExecContext(ctx, v.db.query(liftHold), at.UnixMicro(), v.mac(hold), id[:]); err != nil {
			return err
		}
		lifted = true
		return v.note(ctx, tx, said)
	})
	if err != nil {
		return false, v.failed("lift a legal hold", err)
	}
	return lifted, nil
}

// Holds returns all holds, also lifted and expired ones, by time. One forged row is ErrForged: whoever forges it may have made it of a hold that holds, so nothing may
// be destroyed before somebody has looked.
func (v *Vault) Holds(ctx context.Context) ([]Hold, error) {
	return v.holds(ctx, genuine)
}

// GenuineHolds is Holds without the forged ones, for whoever compares the vault with the log and destroys nothing by it.
func (v *Vault) GenuineHolds(ctx context.Context) ([]Hold, error) { return v.holds(ctx, onlyGenuine) }

func (v *Vault) holds(
	ctx context.Context, of func(context.Context, *Vault, queryer, func(scanner, *Hold) error, string, ...any) ([]Hold, error),
) ([]Hold, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := of(ctx, v, v.db.read, scanHold, holdColumns+` ORDER BY at_micros, id`)
	if err != nil {
		return nil, v.failed("read the legal holds", err)
	}
	return list, nil
}
