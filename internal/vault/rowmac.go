package vault

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Rows that order something (requests, legal holds, API keys …) carry a MAC, so that whoever can write to the database and has no keyring orders nothing: a stolen
// password must not be enough to have a person's data exported to somebody, or erased.
//
// The MAC is HMAC-SHA-256 under a key among the deployment's secrets, which are wrapped under the keyring and stay the same when it is rotated. It covers the table,
// the row's key and every column that decides something, so a row is worth nothing in the place of another. Columns that only say when somebody looks again (claims,
// counters, the hour of a key's last use) are left out, and so are ciphertexts, which open at their own row only.
//
// An earlier state of the same row has a good MAC, and a row that was deleted leaves nothing behind that could be checked: a number of the version inside the MAC
// would go back with the row, and what could tell is nowhere in this database. The log can: see internal/privacy, Replay.

// rowMACVersion is the first byte of a stored MAC. What the MAC covers never changes under the same version.
const rowMACVersion = 1

const rowMACLabel = "agentaudit/vault row/v1\x00"

// ForgedError says which row none of our processes has written, and nothing of what it says: that is somebody else's.
type ForgedError struct{ Table, Row string }

func (e *ForgedError) Error() string {
	return fmt.Sprintf("row %s of the vault's table %s: %s", e.Row, e.Table, ErrForged)
}

func (*ForgedError) Unwrap() error { return ErrForged }

// authentic is a row with a MAC.
type authentic interface {
	// describe begins the text with the row's table and key, and adds what the MAC covers, always in the same order.
	describe(text *rowText)
}

// rowText is what a MAC is computed over. Each part has its length before it, so that no two rows have the same text.
type rowText struct {
	table, row string
	named      named // makes row once it is needed, where that costs too much for each of many rows; nil: row is there
	text       []byte
}

type named interface{ name() string }

// begin names a row whose key is a UUID.
func (t *rowText) begin(table string, key [16]byte) {
	t.beginNamed(table, uuid.UUID(key).String())
	t.bytes(key[:])
}

// beginNamed names a row in errors; its key is added by the caller.
func (t *rowText) beginNamed(table, row string) {
	t.table, t.row, t.named = table, row, nil
	t.text = append(t.text[:0], rowMACLabel...)
	t.string(table)
}

func (t *rowText) bytes(b []byte) {
	t.text = binary.AppendUvarint(t.text, uint64(len(b)))
	t.text = append(t.text, b...)
}

func (t *rowText) string(s string) {
	t.text = binary.AppendUvarint(t.text, uint64(len(s)))
	t.text = append(t.text, s...)
}

func (t *rowText) number(n int64) {
	t.text = append(t.text, 8)
	t.text = binary.BigEndian.AppendUint64(t.text, uint64(n))
}

// time takes a time as it is stored, in microseconds.
func (t *rowText) time(at time.Time) { t.number(microsOrZero(at)) }

// present takes whether there is something whose own encryption says that it belongs here.
func (t *rowText) present(b []byte) {
	if b == nil {
		t.number(0)
		return
	}
	t.number(1)
}

// rowMACBytes is the length of a stored MAC.
const rowMACBytes = 1 + sha256.Size

// stamp makes the MACs of many rows. It belongs to one goroutine.
type stamp struct {
	hmac hash.Hash
	text rowText
	mac  [rowMACBytes]byte
}

func (s *deploymentSecrets) stamp() *stamp { return &stamp{hmac: hmac.New(sha256.New, s.rows[:])} }

// of returns what is stored beside a row. It is valid until the next call.
func (s *stamp) of(row authentic) []byte {
	row.describe(&s.text)
	s.hmac.Reset()
	s.hmac.Write(s.text.text)
	return s.hmac.Sum(append(s.mac[:0], rowMACVersion))
}

// check returns a *ForgedError if a row's MAC is not the one that our processes have written, or that of another version. It tells nobody.
func (s *stamp) check(row authentic, mac []byte) *ForgedError {
	if hmac.Equal(mac, s.of(row)) {
		return nil
	}
	return s.text.forged()
}

// forged names the row that is described.
func (t *rowText) forged() *ForgedError {
	if t.named != nil {
		t.row = t.named.name()
	}
	return &ForgedError{Table: t.table, Row: t.row}
}

// mac returns what is stored beside a row.
func (v *Vault) mac(row authentic) []byte { return v.secrets.stamp().of(row) }

// check returns a *ForgedError if a row's MAC is not the one that our processes have written, and tells whoever wants to know.
func (v *Vault) check(row authentic, mac []byte) *ForgedError {
	return v.tell(v.secrets.stamp().check(row, mac))
}

// tell passes on what is not ours.
func (v *Vault) tell(err *ForgedError) *ForgedError {
	if err != nil && v.forged != nil {
		v.forged(err)
	}
	return err
}

// scanner is a row that is being read.
type scanner interface{ Scan(dest ...any) error }

// besideMAC reads a row whose last column is its MAC.
type besideMAC struct {
	rows *sql.Rows
	mac  *[]byte
}

func (b besideMAC) Scan(dest ...any) error { return b.rows.Scan(append(dest, b.mac)...) }

// withMAC is a row that was read, and not checked yet.
type withMAC[T any] struct {
	row T
	mac []byte
}

// collectWithMAC runs a query whose last column is the MAC.
func collectWithMAC[T any](ctx context.Context, q queryer, scan func(rows scanner, to *T) error, query string, args ...any) ([]withMAC[T], error) {
	return collect(ctx, q, func(rows *sql.Rows, to *withMAC[T]) error { return scan(besideMAC{rows, &to.mac}, &to.row) }, query, args...)
}

// rowOf is a pointer to a row with a MAC.
type rowOf[T any] interface {
	*T
	authentic
}

// genuine runs a query whose last column is the MAC. The first forged row is the error: for whatever decides by all of them.
func genuine[T any, P rowOf[T]](ctx context.Context, v *Vault, q queryer, scan func(rows scanner, to *T) error, query string, args ...any) ([]T, error) {
	list, forged, err := sorted[T, P](ctx, v, q, scan, query, args...)
	if err == nil && len(forged) > 0 {
		return nil, forged[0].err
	}
	return list, err
}

// onlyGenuine leaves forged rows out: where each row is for itself, and one that somebody has slipped in must not keep the others. They are reported.
func onlyGenuine[T any, P rowOf[T]](ctx context.Context, v *Vault, q queryer, scan func(rows scanner, to *T) error, query string, args ...any) ([]T, error) {
	list, _, err := sorted[T, P](ctx, v, q, scan, query, args...)
	return list, err
}

// forgedRow is for those who must act on the safe side of what is forged. Nothing in it is true.
type forgedRow[T any] struct {
	row T
	err *ForgedError
}

// sorted parts genuine rows from forged ones.
func sorted[T any, P rowOf[T]](ctx context.Context, v *Vault, q queryer, scan func(rows scanner, to *T) error, query string, args ...any) (list []T, forged []forgedRow[T], err error) {
	rows, err := collectWithMAC(ctx, q, scan, v.db.query(query), args...)
	if err != nil {
		return nil, nil, err
	}
	stamp := v.secrets.stamp()
	for i := range rows {
		if err := v.tell(stamp.check(P(&rows[i].row), rows[i].mac)); err != nil {
			forged = append(forged, forgedRow[T]{rows[i].row, err})
			continue
		}
		list = append(list, rows[i].row)
	}
	return list, forged, nil
}

// shownName is a name as an error shows it: whoever forges a row chooses its name.
func shownName(name string) string {
	const longest = 64
	if len(name) > longest {
		name = name[:longest] + "…"
	}
	return strconv.QuoteToASCII(name)
}

// shownKey is a key as an error shows it that is no UUID.
func shownKey(parts ...[]byte) string {
	var all []byte
	for _, part := range parts {
		all = append(all, part...)
	}
	return hex.EncodeToString(all)
}

// firstMACs is the version of the schema in which the first tables had MACs, latestMACs the one in which some have got them last.
const (
	firstMACs  = 12
	latestMACs = 15
)

// macTable is a table whose rows have MACs.
type macTable struct {
	name  string
	since byte // version of the schema
	// add gives a MAC to all rows, none of which may have one.
	add func(ctx context.Context, v *Vault, tx *sql.Tx) error
	// forged returns the rows that none of our processes has written.
	forged func(ctx context.Context, v *Vault) ([]*ForgedError, error)
}

func macTables() []macTable {
	return []macTable{
		tableOf("requests", firstMACs, "id = ?", scanRequest, requestColumns, func(r *Request) []any { return []any{r.ID[:]} }),
		tableOf("api_keys", firstMACs, "id = ?", scanAPIKey, callerColumns, func(k *APIKey) []any { return []any{k.ID[:]} }),
		tableOf("authors", firstMACs, "name = ?", scanAuthor, authorColumns, func(a *Author) []any { return []any{a.Name} }),
		tableOf("holds", firstMACs, "id = ?", scanHold, holdColumns, func(h *Hold) []any { return []any{h.ID[:]} }),
		tableOf(tableExports, firstMACs, "request = ?", scanExport, exportAlone, func(e *Export) []any { return []any{e.Request[:]} }),
		tableOf("restrictions", firstMACs, "request = ?", scanRestriction, restrictionColumns, func(r *restrictionRow) []any { return []any{r.request[:]} }),
		tableOf("consents", firstMACs, "subject = ? AND purpose = ?", scanConsent, consentColumns, func(c *consentNow) []any { return []any{c.subject[:], c.purpose} }),
		tableOf("consent_changes", firstMACs, "id = ?", scanConsentRow, consentChangeColumns, func(c *consentRow) []any { return []any{c.id[:]} }),
		tableOf("destroyed", firstMACs, "request = ?", scanDestroyed, destroyedColumns, func(d *destroyedRow) []any { return []any{d.request[:]} }),
		tableOf("outbox", firstMACs, "event_id = ?", scanSaying, outboxColumns, func(s *Saying) []any { return []any{s.EventID[:]} }),
		tableOf("suppressions", latestMACs, "lookup = ?", scanSuppression, suppressionColumns, func(s *suppressionRow) []any { return []any{s.lookup[:]} }),
		tableOf("log_generations", latestMACs, "topic = ? AND partition = ? AND generation = ?", scanGeneration, generationColumns,
			func(g *Generation) []any { return []any{g.Topic, g.Partition, g.Generation} }),
		tableOf("breaches", latestMACs, "id = ?", scanBreach, breachColumns, func(b *Breach) []any { return []any{b.ID[:]} }),
		tableOf("breach_notices", latestMACs, "breach = ? AND number = ?", scanNotice, breachNoticeColumns, func(n *breachNoticeRow) []any { return []any{n.breach[:], n.number} }),
		tableOf("detector_snapshot", latestMACs, "one = ?", scanSnapshot, selectSnapshot, func(*snapshotRow) []any { return []any{1} }),
		tableOf("notices", latestMACs, "id = ?", scanAlert, fromNotices, func(n *Notice) []any { return []any{n.ID[:]} }),
		tableOf("notice_posts", latestMACs, "notice = ? AND target = ?", scanPost, postColumns, func(p *postRow) []any { return []any{p.Notice.ID[:], p.Target} }),
		{name: tableDetectorStates, since: latestMACs, add: addStateMACs, forged: forgedStates},
	}
}

// tableOf describes a table by the query of all its rows, and the condition and values of the primary key.
func tableOf[T any, P rowOf[T]](name string, since byte, condition string, scan func(scanner, *T) error, columns string, key func(*T) []any) macTable {
	return macTable{
		name: name, since: since,
		add: func(ctx context.Context, v *Vault, tx *sql.Tx) error {
			rows, err := collectWithMAC(ctx, tx, scan, columns)
			if err != nil || len(rows) == 0 {
				return err
			}
			set, err := tx.PrepareContext(ctx, v.db.query(`UPDATE `+name+` SET mac = ? WHERE `+condition))
			if err != nil {
				return err
			}
			defer set.Close()
			stamp := v.secrets.stamp()
			for i := range rows {
				row := &rows[i].row
				mac := stamp.of(P(row))
				if rows[i].mac != nil {
					// Some process has given MACs before, so the secrets are older than the rows: somebody has put them back, to have his own rows taken for ours.
					return stamp.text.forged()
				}
				if _, err := set.ExecContext(ctx, append([]any{mac}, key(row)...)...); err != nil {
					return err
				}
			}
			return nil
		},
		forged: func(ctx context.Context, v *Vault) ([]*ForgedError, error) {
			_, rows, err := sorted[T, P](ctx, v, v.db.read, scan, columns)
			forged := make([]*ForgedError, len(rows))
			for i := range rows {
				forged[i] = rows[i].err
			}
			return forged, err
		},
	}
}

// Who opens the vault while others do waits for at most five seconds until none of them reads from the files.
const (
	adoptEraseAttempts = 100
	adoptErasePause    = 50 * time.Millisecond
)

// errNotAdopted: the deployment's secrets are from before rows had MACs, or those of some tables.
var errNotAdopted = errors.New("the vault's rows have no MACs yet")

// adopt gives MACs to all rows that are there, once for each table: the key of the MACs is made here and stored, wrapped, among the deployment's secrets, with the
// version up to which that was done, and secrets that have both never come here again. Nothing is adopted because something is missing in the database, where anybody could have removed it: only because of secrets that whoever
// has the keyring has wrapped.
func (v *Vault) adopt(ctx context.Context) error {
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, holdDeployment); err != nil {
			return err
		}
		var row deploymentRow
		if err := tx.QueryRowContext(ctx, selectDeployment).Scan(&row.name, &row.generation, &row.secrets); err != nil {
			return err
		}
		w, err := v.keys.wrapper(ctx, row.generation)
		if err != nil {
			return err
		}
		if err := v.secrets.open(w, &row); !errors.Is(err, errNotAdopted) {
			return err // somebody else was faster
		}
		before := v.secrets.adopted
		if before == 0 {
			v.secrets.makeRows()
		}
		v.secrets.adopted = latestMACs
		for _, table := range macTables() {
			if table.since <= before {
				continue
			}
			if err := table.add(ctx, v, tx); err != nil {
				return fmt.Errorf("%s: %w", table.name, err)
			}
		}
		_, err = tx.ExecContext(ctx, v.db.query(updateDeployment), row.generation, v.secrets.wrapped(w, row.name))
		return err
	})
	if err != nil {
		return fmt.Errorf("add MACs to the rows that are there: %w", err)
	}
	// The secrets from before must be in no file any more. Other processes that open the vault at the same time read from it, each for a moment.
	for attempt := 1; ; attempt++ {
		err := v.db.erase(ctx)
		if !errors.Is(err, ErrUnavailable) || attempt == adoptEraseAttempts || pauseFor(ctx, adoptErasePause) != nil {
			return err
		}
	}
}

// Forged looks at all rows that have MACs, and returns those that none of our processes has written.
func (v *Vault) Forged(ctx context.Context) ([]*ForgedError, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	var all []*ForgedError
	for _, table := range macTables() {
		some, err := table.forged(ctx, v)
		if err != nil {
			return nil, v.failed("look for forged rows in "+table.name, err)
		}
		all = append(all, some...)
	}
	return all, nil
}
