package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

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
	breachColumns = `SELECT id, reason, detected_micros, due_micros, opened_micros, scope, entries, opening, notices, closed_micros, closed_why, report, mac FROM breaches`
	insertBreach  = `INSERT INTO breaches (id, reason, detected_micros, due_micros, opened_micros, scope, entries, opening, mac) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO NOTHING`
	updateBreach        = `UPDATE breaches SET notices = ?, closed_micros = ?, closed_why = ?, report = ?, mac = ? WHERE id = ?`
	insertNotice        = `INSERT INTO breach_notices (breach, number, addressee, reference, at_micros, mac) VALUES (?, ?, ?, ?, ?, ?)`
	breachNoticeColumns = `SELECT breach, number, addressee, reference, at_micros, mac FROM breach_notices`
	// breachRow also is the lock that puts notices in order, and parts them from closing.
	breachRow = breachColumns + ` WHERE id = ?`
)

// describe is for a MAC: who closes a breach, or changes what it affects, keeps people and the authority from being told.
func (b *Breach) describe(t *rowText) {
	t.begin("breaches", b.ID)
	t.string(b.Reason)
	t.time(b.Detected)
	t.time(b.Due)
	t.time(b.Opened)
	t.string(b.Scope)
	t.number(int64(len(b.Entries)))
	for i := range b.Entries {
		t.text = append(t.text, b.Entries[i][:]...)
	}
	t.string(b.Opening)
	t.number(int64(b.Notices))
	t.time(b.Closed)
	t.string(b.Why)
	t.string(b.Report)
}

func scanBreach(rows scanner, b *Breach) error {
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

// breachNoticeRow has a MAC: of a breach of which the authority was told no deadline is shown any more.
type breachNoticeRow struct {
	breach [16]byte
	number int64
	BreachNotice
}

func (n *breachNoticeRow) describe(t *rowText) {
	t.beginNamed("breach_notices", uuid.UUID(n.breach).String()+" number "+strconv.FormatInt(n.number, 10))
	t.bytes(n.breach[:])
	t.number(n.number)
	t.string(string(n.To))
	t.string(n.Reference)
	t.time(n.At)
}

func scanNotice(rows scanner, n *breachNoticeRow) error {
	return rows.Scan(fixed(n.breach[:]), &n.number, &n.To, &n.Reference, microTime{&n.At})
}

// AddBreach stores a breach. It is no error if it is there already, so a call whose outcome is unknown can be repeated.
func (v *Vault) AddBreach(ctx context.Context, b Breach, said ...Saying) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	var entries []byte
	for _, id := range b.Entries {
		entries = append(entries, id[:]...)
	}
	b.Notices, b.Closed, b.Why, b.Report = 0, time.Time{}, "", ""
	_, err := v.changeAndNote(ctx, said, insertBreach, b.ID[:], b.Reason, microsOrZero(b.Detected), microsOrZero(b.Due), microsOrZero(b.Opened), b.Scope, entries,
		b.Opening, v.mac(&b))
	if err != nil {
		return v.failed("store a breach", err)
	}
	return nil
}

// Breach returns a breach, and false if there is none; ErrForged if it is not ours.
func (v *Vault) Breach(ctx context.Context, id [16]byte) (Breach, bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := genuine(ctx, v, v.db.read, scanBreach, breachRow, id[:])
	if err != nil {
		return Breach{}, false, v.failed("read a breach", err)
	}
	if len(list) == 0 {
		return Breach{}, false, nil
	}
	return list[0], true, nil
}

// Breaches returns all breaches, by the time at which they were opened. Forged ones are not among them.
func (v *Vault) Breaches(ctx context.Context) ([]Breach, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := onlyGenuine(ctx, v, v.db.read, scanBreach, breachColumns+` ORDER BY opened_micros, id`)
	if err != nil {
		return nil, v.failed("read breaches", err)
	}
	return list, nil
}

// changeBreach has change alter a breach that is open, unless it returns false, and notes what is to be said about it. ErrForged if the breach is not ours.
func (v *Vault) changeBreach(ctx context.Context, id [16]byte, said []Saying, change func(tx *sql.Tx, b *Breach) (bool, error)) (changed bool, err error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	err = v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		changed = false
		list, err := genuine(ctx, v, tx, scanBreach, breachRow+v.db.forUpdate(), id[:])
		if err != nil || len(list) == 0 || !list[0].Closed.IsZero() {
			return err
		}
		b := &list[0]
		if ok, err := change(tx, b); err != nil || !ok {
			return err
		}
		if _, err := tx.ExecContext(ctx, v.db.query(updateBreach), b.Notices, microsOrZero(b.Closed), b.Why, b.Report, v.mac(b), b.ID[:]); err != nil {
			return err
		}
		changed = true
		return v.note(ctx, tx, said)
	})
	return changed, err
}

// AddBreachNotice notes who was told of a breach, and returns false if there is no such breach that is open.
func (v *Vault) AddBreachNotice(ctx context.Context, id [16]byte, n BreachNotice, said ...Saying) (bool, error) {
	added, err := v.changeBreach(ctx, id, said, func(tx *sql.Tx, b *Breach) (bool, error) {
		if b.Notices++; b.Notices > maxBreachNotices {
			return false, ErrTooManyNotices
		}
		row := breachNoticeRow{id, int64(b.Notices), n}
		_, err := tx.ExecContext(ctx, v.db.query(insertNotice), id[:], row.number, n.To, n.Reference, microsOrZero(n.At), v.mac(&row))
		return err == nil, err
	})
	if err != nil {
		return false, v.failed("note who was told of a breach", err)
	}
	return added, nil
}

// BreachNotices returns who was told of a breach, in order. ErrForged if a notice is not ours, or one is missing.
func (v *Vault) BreachNotices(ctx context.Context, id [16]byte) ([]BreachNotice, error) {
	list, err := v.breachNotices(ctx, id)
	if err != nil {
		return nil, v.failed("read who was told of a breach", err)
	}
	return list, nil
}

func (v *Vault) breachNotices(ctx context.Context, id [16]byte) ([]BreachNotice, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	// The breach first: notices that are added behind it are not counted there.
	breaches, err := genuine(ctx, v, v.db.read, scanBreach, breachRow, id[:])
	if err != nil {
		return nil, err
	}
	rows, err := genuine(ctx, v, v.db.read, scanNotice, breachNoticeColumns+` WHERE breach = ? ORDER BY number`, id[:])
	if err != nil {
		return nil, err
	}
	list := make([]BreachNotice, len(rows))
	for i := range rows {
		if rows[i].number != int64(i+1) {
			return nil, v.missingNotice(id, i+1)
		}
		list[i] = rows[i].BreachNotice
	}
	if len(breaches) > 0 && len(list) < breaches[0].Notices {
		return nil, v.missingNotice(id, len(list)+1)
	}
	return list, nil
}

// missingNotice is the error that a notice was deleted that there was.
func (v *Vault) missingNotice(breach [16]byte, number int) error {
	var text rowText
	(&breachNoticeRow{breach: breach, number: int64(number)}).describe(&text)
	return v.tell(text.forged())
}

// CloseBreach closes a breach with a report that has all notices: b.Notices of them. It returns false if the breach is closed, or there are others by now.
func (v *Vault) CloseBreach(ctx context.Context, b Breach, said ...Saying) (bool, error) {
	closed, err := v.changeBreach(ctx, b.ID, said, func(_ *sql.Tx, now *Breach) (bool, error) {
		if now.Notices != b.Notices {
			return false, nil
		}
		now.Closed, now.Why, now.Report = b.Closed, b.Why, b.Report
		return true, nil
	})
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

// BreachDeadlines returns the earliest deadlines of open breaches of which no authority was told yet, at most twenty. A forged breach has none, and a forged notice
// tells nobody.
func (v *Vault) BreachDeadlines(ctx context.Context) ([]BreachDeadline, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	// All of them, not those that are open: whether one is open is true only if its MAC is right.
	breaches, err := onlyGenuine(ctx, v, v.db.read, scanBreach, breachColumns+` ORDER BY due_micros, id`)
	var told []breachNoticeRow
	if err == nil {
		told, err = onlyGenuine(ctx, v, v.db.read, scanNotice, breachNoticeColumns+` WHERE addressee = ?`, gdpr.ToAuthority)
	}
	if err != nil {
		return nil, v.failed("read the deadlines of breaches", err)
	}
	var open []BreachDeadline
	for i := range breaches {
		b := &breaches[i]
		if len(open) < shownDeadlines && b.Closed.IsZero() && !slices.ContainsFunc(told, func(n breachNoticeRow) bool { return n.breach == b.ID }) {
			open = append(open, BreachDeadline{b.ID, b.Due})
		}
	}
	return open, nil
}
