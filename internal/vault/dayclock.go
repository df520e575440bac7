package vault

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

const (
	selectDayKnown  = `SELECT day_known FROM deployment`
	selectNewestDay = `SELECT coalesce(max(day), '') FROM day_keys`
	updateDayKnown  = `UPDATE deployment SET day_known = ?`
)

// followClock moves the day up to which time is known to have passed, and returns it: empty as long as there was no key of any day. It begins as the day of
// the newest key and follows this machine's clock by at most one day a call, forwards and backwards. So a clock that runs ahead by years for some hours
// destroys no key that is to be kept, while a machine that was off for days catches up within hours.
func (v *Vault) followClock(ctx context.Context, tx *sql.Tx, now time.Time) (string, error) {
	var known string
	if err := tx.QueryRowContext(ctx, selectDayKnown).Scan(&known); err != nil {
		return "", err
	}
	if known == "" {
		if err := tx.QueryRowContext(ctx, selectNewestDay).Scan(&known); err != nil || known == "" {
			return "", err
		}
	}
	next, err := dayTowards(known, now)
	if err != nil {
		return "", err
	}
	_, err = tx.ExecContext(ctx, v.db.query(updateDayKnown), next)
	return next, err
}

// dayTowards returns the day that is one nearer to now than known, or known if it is today.
func dayTowards(known string, now time.Time) (string, error) {
	day, err := time.Parse(time.DateOnly, known)
	if err != nil {
		return "", fmt.Errorf("%w: the deployment's known day is no date", ErrDamaged)
	}
	switch today := now.UTC().Format(time.DateOnly); {
	case known < today:
		day = day.AddDate(0, 0, 1)
	case known > today:
		day = day.AddDate(0, 0, -1)
	}
	return day.Format(time.DateOnly), nil
}
