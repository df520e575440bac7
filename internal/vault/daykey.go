package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// dayKeyRow is a row of the table day_keys.
type dayKeyRow struct {
	day     string
	keyID   gdpr.KeyID
	wrapped int
	keys    []byte
}

const (
	dayKeyColumns = `SELECT day, key_id, wrapped, keys FROM day_keys WHERE `
	insertDayKey  = `INSERT INTO day_keys (day, key_id, wrapped, keys) VALUES (?, ?, ?, ?) ON CONFLICT (day) DO NOTHING`
	deleteDayKeys = `DELETE FROM day_keys WHERE day < ?`
	selectDays    = `SELECT days_kept FROM deployment`
	updateDays    = `UPDATE deployment SET days_kept = ? WHERE days_kept < ?`
)

func scanDayKey(rows *sql.Rows, r *dayKeyRow) error {
	return rows.Scan(&r.day, fixed(r.keyID[:]), &r.wrapped, &r.keys)
}

// DayKey returns the keys of a day (UTC, "2026-11-20") and creates them if needed. ErrDestroyed when DestroyDayKeys has passed that day.
func (v *Vault) DayKey(ctx context.Context, day string) (gdpr.Keys, error) {
	if err := checkDay(day); err != nil {
		return gdpr.Keys{}, err
	}
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	ws := v.keys.wrappers()
	for range subjectAttempts {
		rows, err := collect(ctx, v.db.read, scanDayKey, v.db.query(dayKeyColumns+"day = ?"), day)
		if err != nil {
			return gdpr.Keys{}, v.failed("look up the key of "+day, err)
		}
		if len(rows) == 1 {
			keys, err := rows[0].unwrapped(ctx, ws)
			if err != nil {
				return gdpr.Keys{}, v.failed("look up the key of "+day, err)
			}
			return keys, nil
		}
		if err := v.createDayKey(ctx, ws, day); err != nil && !errors.Is(err, errOtherGeneration) {
			return gdpr.Keys{}, v.failed("create the key of "+day, err)
		}
	}
	return gdpr.Keys{}, fmt.Errorf("create the key of %s: it was destroyed as soon as it had been created: %w", day, ErrUnavailable)
}

// createDayKey stores a key for the day, unless somebody else does first.
func (v *Vault) createDayKey(ctx context.Context, ws *wrappers, day string) error {
	w, err := ws.of(ctx, int(v.generation.Load()))
	if err != nil {
		return err
	}
	keys := newKeys()
	defer keys.Wipe()
	row := dayKeyRow{day: day, keyID: keys.ID}
	row.wrap(w, &keys)
	return v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		if err := v.holdGeneration(ctx, tx, row.wrapped); err != nil {
			return err
		}
		var kept string
		if err := tx.QueryRowContext(ctx, selectDays).Scan(&kept); err != nil {
			return err
		}
		if day < kept {
			return fmt.Errorf("keys of the days before %s: %w", kept, ErrDestroyed)
		}
		_, err := tx.ExecContext(ctx, v.db.query(insertDayKey), row.day, row.keyID[:], row.wrapped, row.keys)
		return err
	})
}

// DestroyDayKeys deletes the keys of all days before the given one and returns how many there were. Call it once an hour or less often. ErrClock, and nothing
// is destroyed, when time is not known to have come so far: see followClock.
func (v *Vault) DestroyDayKeys(ctx context.Context, before string) (int, error) {
	return v.destroyDayKeys(ctx, before, time.Now())
}

func (v *Vault) destroyDayKeys(ctx context.Context, before string, now time.Time) (int, error) {
	if err := checkDay(before); err != nil {
		return 0, err
	}
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	doing := "destroy the keys of the days before " + before
	var destroyed int64
	var known string
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) (err error) {
		// The row that creators of keys hold too: they wait, or this does.
		if _, err := tx.ExecContext(ctx, holdDeployment); err != nil {
			return err
		}
		if known, err = v.followClock(ctx, tx, now); err != nil || before > known {
			return err // commits what is known of the time
		}
		// First the note that they are gone: no key of such a day comes after.
		if _, err := tx.ExecContext(ctx, v.db.query(updateDays), before, before); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, v.db.query(deleteDayKeys), before)
		if err != nil {
			return err
		}
		destroyed, err = result.RowsAffected()
		return err
	})
	if err != nil {
		return 0, v.failed(doing, err)
	}
	if known == "" {
		return 0, nil // there was never a key of a day
	}
	if before > known {
		return 0, fmt.Errorf("%s: %w: no later day than %s is known to have come, and this machine's clock says %s; the vault follows it by one day at a time",
			doing, ErrClock, known, now.UTC().Format(time.DateOnly))
	}
	// Also when there were none: an earlier call may have got no further than this.
	if err := v.db.erase(ctx); err != nil {
		return int(destroyed), v.failed("erase destroyed keys from the vault's files", err)
	}
	return int(destroyed), nil
}

func checkDay(day string) error {
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return fmt.Errorf("day %q: wanted a date such as 2026-11-20", day)
	}
	return nil
}

func (r *dayKeyRow) place() []byte { return append(r.keyID[:], r.day...) }

func (r *dayKeyRow) wrap(w *wrapper, keys *gdpr.Keys) {
	plain := keyBytes(keys)
	defer clear(plain[:])
	r.wrapped = w.generation
	r.keys = w.wrap(purposeDayKeys, r.place(), plain[:])
}

func (r *dayKeyRow) unwrapped(ctx context.Context, ws *wrappers) (gdpr.Keys, error) {
	w, err := ws.of(ctx, r.wrapped)
	if err != nil {
		return gdpr.Keys{}, err
	}
	plain, err := w.unwrap(purposeDayKeys, r.place(), r.keys)
	if err != nil {
		return gdpr.Keys{}, fmt.Errorf("key of %s: %w", r.day, err)
	}
	return keysOf(r.keyID, plain)
}
