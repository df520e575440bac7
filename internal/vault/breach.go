package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Breach is a breach of personal data. It names nobody; times are kept in microseconds, UTC.
type Breach struct {
	ID       [16]byte
	Reason   string
	Detected time.Time
	Due      time.Time // when the authority must have been told
	Opened   time.Time
	Scope    string     // JSON: which entries are affected
	Entries  [][16]byte // the ids of the affected events; none: Scope says it all
	Opening  string     // JSON: what was affected when it was opened
	Notices  int        // how many there are
	Closed   time.Time  // zero: it is open
	Why      string     // it was closed
	Report   string     // JSON, once it is closed
}

// BreachNotice says who was told of a breach.
type BreachNotice struct {
	To        gdpr.Addressee
	Reference string // for people; names nobody
	At        time.Time
}

// ErrTooManyNotices: of one breach so many notices are kept that another one must be a mistake.
var ErrTooManyNotices = errors.New("too many notices of this breach")

const (
	maxBreachNotices = 1000
	// shownDeadlines bounds what BreachDeadlines returns, and with it the values of a label.
	shownDeadlines = 20
)

const (
	breachColumns = `SELECT id, reason, detected_micros, due_micros, opened_micros, scope, entries, opening, notices, closed_micros, closed_why, report FROM breaches`
	insertBreach  = `INSERT INTO breaches (id, reason, detected_micros, due_micros, opened_micros, scope, entries, opening) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO NOTHING`
	// countNotice also is the lock that puts notices in order, and parts them from closing.
	countNotice   = `UPDATE breaches SET notices = notices + 1 WHERE id = ? AND closed_micros = 0 RETURNING notices`
	insertNotice  = `INSERT INTO breach_notices (breach, number, addressee, reference, at_micros) VALUES (?, ?, ?, ?, ?)`
	selectNotices = `SELECT addressee, reference, at_micros FROM breach_notices WHERE breach = ? ORDER BY number`
	closeBreach   = `UPDATE breaches SET closed_micros = ?, closed_why = ?, report = ? WHERE id = ? AND closed_micros = 0 AND notices = ?`
	// openDeadlines are those of breaches of which no authority was told so far.
	openDeadlines = `SELECT id, due_micros FROM breaches WHERE closed_micros = 0
		AND NOT EXISTS (SELECT 1 FROM breach_notices WHERE breach = breaches.id AND addressee = ?) ORDER BY due_micros, id LIMIT ?`
)

func scanBreach(rows *sql.Rows, b *Breach) error {
	var entries []byte
	err := rows.Scan(fixed(b.ID[:]), &b.Reason, microTime{&b.Detected}, microTime{&b.Due}, microTime{&b.Opened}, &b.Scope, &entries, &b.Opening, &b.Notices,
		microTime{&b.Closed}, &b.Why, &b.Report)
	if err != nil {
		return err
	}
	if b.Closed.UnixMicro() == 0 {
		b.Closed = time.Time{}
	}
	if len(entries)%16 != 0 {
		return fmt.Errorf("%w: the entries of a breach are no ids", ErrDamaged)
	}
	for ; len(entries) > 0; entries = entries[16:] {
		b.Entries = append(b.Entries, [16]byte(entries))
	}
	return nil
}

func scanNotice(rows *sql.Rows, n *BreachNotice) error {
	return rows.Scan(&n.To, &n.Reference, microTime{&n.At})
}

// AddBreach stores a breach. It is no error if it is there already, so a call whose outcome is unknown can be repeated.
func (v *Vault) AddBreach(ctx context.Context, b Breach, said ...Saying) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	var entries []byte
	for _, id := range b.Entries {
		entries = append(entries, id[:]...)
	}
	_, err := v.changeAndNote(ctx, said, insertBreach, b.ID[:], b.Reason, b.Detected.UnixMicro(), b.Due.UnixMicro(), b.Opened.UnixMicro(), b.Scope, entries, b.Opening)
	if err != nil {
		return v.failed("store a breach", err)
	}
	return nil
}

// Breach returns a breach, and false if there is none.
func (v *Vault) Breach(ctx context.Context, id [16]byte) (Breach, bool, error) {
	list, err := v.breaches(ctx, breachColumns+` WHERE id = ?`, id[:])
	if err != nil || len(list) == 0 {
		return Breach{}, false, err
	}
	return list[0], true, nil
}

// Breaches returns all breaches, by the time at which they were opened.
func (v *Vault) Breaches(ctx context.Context) ([]Breach, error) {
	return v.breaches(ctx, breachColumns+` ORDER BY opened_micros, id`)
}

func (v *Vault) breaches(ctx context.Context, query string, args ...any) ([]Breach, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := collect(ctx, v.db.read, scanBreach, v.db.query(query), args...)
	if err != nil {
		return nil, v.failed("read breaches", err)
	}
	return list, nil
}

// AddBreachNotice notes who was told of a breach, and returns false if there is no such breach that is open.
func (v *Vault) AddBreachNotice(ctx context.Context, id [16]byte, n BreachNotice, said ...Saying) (bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	added := false
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		added = false
		numbers, err := collect(ctx, tx, scanCount, v.db.query(countNotice), id[:])
		if err != nil || len(numbers) == 0 {
			return err
		}
		if numbers[0] > maxBreachNotices {
			return ErrTooManyNotices
		}
		if _, err := tx.ExecContext(ctx, v.db.query(insertNotice), id[:], int64(numbers[0]), n.To, n.Reference, n.At.UnixMicro()); err != nil {
			return err
		}
		added = true
		return v.note(ctx, tx, said)
	})
	if err != nil {
		return false, v.failed("note who was told of a breach", err)
	}
	return added, nil
}

// BreachNotices returns who was told of a breach, in order.
func (v *Vault) BreachNotices(ctx context.Context, id [16]byte) ([]BreachNotice, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := collect(ctx, v.db.read, scanNotice, v.db.query(selectNotices), id[:])
	if err != nil {
		return nil, v.failed("read who was told of a breach", err)
	}
	return list, nil
}

// CloseBreach closes a breach with a report that has all notices: b.Notices of them. It returns false if the breach is closed, or there are others by now.
func (v *Vault) CloseBreach(ctx context.Context, b Breach, said ...Saying) (bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	closed, err := v.changeAndNote(ctx, said, closeBreach, b.Closed.UnixMicro(), b.Why, b.Report, b.ID[:], b.Notices)
	if err != nil {
		return false, v.failed("close a breach", err)
	}
	return closed, nil
}

// BreachDeadline is when the authority must have been told of a breach.
type BreachDeadline struct {
	ID  [16]byte
	Due time.Time
}

// BreachDeadlines returns the earliest deadlines of open breaches of which no authority was told yet, at most twenty.
func (v *Vault) BreachDeadlines(ctx context.Context) ([]BreachDeadline, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := collect(ctx, v.db.read, func(rows *sql.Rows, d *BreachDeadline) error {
		return rows.Scan(fixed(d.ID[:]), microTime{&d.Due})
	}, v.db.query(openDeadlines), gdpr.ToAuthority, shownDeadlines)
	if err != nil {
		return nil, v.failed("read the deadlines of breaches", err)
	}
	return list, nil
}
