package vault

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"time"
)

// Suppression keeps records that arrive late about somebody who was erased from being anybody's: what was in Kafka, or in a producer's spool, before.
type Suppression struct {
	Until   time.Time        // events of this time and before are nobody's; microseconds
	Offsets map[string]int64 // by `<topic>/<partition>`: records below are nobody's
	Forever bool             // later ones are too, as the request wanted
	Expires time.Time        // from then on it is not needed, unless Forever; microseconds
}

// Covers says whether a record is nobody's: its place in Kafka, and the time of its event in microseconds since 1970.
func (s *Suppression) Covers(partition string, offset, eventMicros int64) bool {
	return s.Forever || eventMicros <= s.Until.UnixMicro() || offset < s.Offsets[partition]
}

func (s *Suppression) equal(other *Suppression) bool {
	return s.Until.Equal(other.Until) && s.Forever == other.Forever && maps.Equal(s.Offsets, other.Offsets)
}

const (
	anySuppression     = `SELECT 1 FROM suppressions LIMIT 1`
	suppressionColumns = `SELECT lookup, until_micros, offsets, forever, expires_micros, mac FROM suppressions`
	upsertSuppression  = `INSERT INTO suppressions (lookup, until_micros, offsets, forever, expires_micros, mac) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (lookup) DO UPDATE SET until_micros = excluded.until_micros, offsets = excluded.offsets, forever = excluded.forever,
			expires_micros = excluded.expires_micros, mac = excluded.mac`
	expireSuppressions = `DELETE FROM suppressions WHERE forever = 0 AND expires_micros <= ?`
)

func scanBool(rows *sql.Rows, any *bool) error {
	*any = true
	return rows.Scan(new(int))
}

// suppressions are those of some people, or of all.
type suppressions map[LookupHash]*Suppression

// suppressionRow has a MAC: whom a made up one names would do what nobody is said to have done.
type suppressionRow struct {
	lookup  LookupHash
	offsets string
	forever int64
	Suppression
}

func (r *suppressionRow) describe(t *rowText) {
	t.beginNamed("suppressions", shownKey(r.lookup[:]))
	t.bytes(r.lookup[:])
	t.time(r.Until)
	t.string(r.offsets)
	t.number(r.forever)
	t.time(r.Expires)
}

func scanSuppression(rows scanner, r *suppressionRow) error {
	err := rows.Scan(fixed(r.lookup[:]), microTime{&r.Until}, &r.offsets, &r.forever, microTime{&r.Expires})
	if err != nil {
		return err
	}
	r.Forever = r.forever != 0
	return nil
}

// read makes a suppression of a row that was checked.
func (r *suppressionRow) read() (*Suppression, error) {
	if err := json.Unmarshal([]byte(r.offsets), &r.Offsets); err != nil {
		return nil, fmt.Errorf("%w: a suppression has no offsets", ErrDamaged)
	}
	return &r.Suppression, nil
}

// storeSuppression is a part of the transaction that erases a person, and holds the person's row. It widens what is there: the person was erased before, came back
// as a stranger, and is erased again. A forged row gives way.
func (v *Vault) storeSuppression(ctx context.Context, tx *sql.Tx, lookup *LookupHash, s *Suppression) error {
	offsets, err := json.Marshal(s.Offsets)
	if err != nil {
		return err
	}
	before, err := onlyGenuine(ctx, v, tx, scanSuppression, suppressionColumns+` WHERE lookup = ?`, lookup[:])
	if err != nil {
		return err
	}
	row := suppressionRow{lookup: *lookup, offsets: string(offsets), forever: integer(s.Forever || len(before) > 0 && before[0].Forever), Suppression: *s}
	_, err = tx.ExecContext(ctx, v.db.query(upsertSuppression), lookup[:], microsOrZero(row.Until), row.offsets, row.forever, microsOrZero(row.Expires), v.mac(&row))
	return err
}

// suppressed returns the suppressions of some people; of all with nil. A forged one counts for nothing: whoever could make it could as well have deleted one, and
// of the two harms, that late records of somebody who was erased are a stranger's again, and that nobody is said to have done what somebody does, the second one
// would be new.
func (v *Vault) suppressed(ctx context.Context, q queryer, some []LookupHash) (suppressions, error) {
	query, args := suppressionColumns, []any{}
	if some != nil {
		query, args = suppressionColumns+" WHERE "+v.db.in("lookup"), []any{v.db.set(hashSlices(some))}
	}
	rows, err := onlyGenuine(ctx, v, q, scanSuppression, query, args...)
	if err != nil {
		return nil, err
	}
	found := make(suppressions, len(rows))
	for i := range rows {
		if found[rows[i].lookup], err = rows[i].read(); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// ExpireSuppressions removes those that are not needed any more, and returns how many. With SQLite it also has what was deleted before, by anybody, disappear from
// the database's files, where somebody who read from them has prevented that.
func (v *Vault) ExpireSuppressions(ctx context.Context, now time.Time) (int64, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	n, err := v.db.exec(ctx, expireSuppressions, now.UnixMicro())
	if err != nil {
		return 0, v.failed("remove old suppressions", err)
	}
	return n, v.eraseFiles(ctx)
}
