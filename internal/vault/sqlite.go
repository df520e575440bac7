package vault

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/agentaudit/agentaudit/schemas"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteReaders bounds the connections that read. WAL lets them read while another process or connection writes.
const sqliteReaders = 4

// sqlitePragmas: every commit is on disk before it returns (a key must not be lost after content was sealed under it), and deleted bytes are
// overwritten. A locked database is waited for; the context ends the wait earlier. A connection never creates the file: in
// the place of one that was deleted there would be an empty vault.
const sqlitePragmas = "mode=rw&_pragma=busy_timeout(15000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=secure_delete(ON)" +
	"&_pragma=temp_store(MEMORY)"

// sqliteDialect is SQLite with one writing connection in this process; other processes take turns through the file's locks.
type sqliteDialect struct {
	path  string
	file  os.FileInfo // tells the file that was opened from another one in its place
	write *sql.DB
}

func openSQLite(path string) (*database, error) {
	if path == "" {
		return nil, errors.New("the vault's database file has no path")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// Created here, because SQLite would give it the umask's mode; its journal files copy this file's.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	opened, err := file.Stat()
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	source := (&url.URL{Scheme: "file", OmitHost: true, Path: path}).String() + "?" + sqlitePragmas
	d := &database{}
	for _, pool := range []struct {
		db    **sql.DB
		query string
		conns int
	}{
		// The caches are in KiB a connection. People's rows and hashes are spread over all pages: what creates thousands of them writes thousands of
		// pages, twice those that do not fit into its cache.
		{&d.write, "&_txlock=immediate&_pragma=cache_size(-16000)", 1},
		{&d.read, "&_pragma=query_only(ON)&_pragma=cache_size(-8000)", sqliteReaders},
		{&d.watch, "&_pragma=query_only(ON)&_pragma=cache_size(-500)", 1},
	} {
		db, err := sql.Open("sqlite", source+pool.query)
		if err != nil {
			return nil, errors.Join(err, d.close())
		}
		db.SetMaxOpenConns(pool.conns)
		db.SetMaxIdleConns(pool.conns)
		*pool.db = db
	}
	d.dialect = &sqliteDialect{path: path, file: opened, write: d.write}
	return d, nil
}

func (*sqliteDialect) query(sql string) string { return sql }

func (*sqliteDialect) in(column string) string {
	return column + " IN (SELECT unhex(value) FROM json_each(?))"
}

func (*sqliteDialect) set(values [][]byte) any {
	json := make([]byte, 0, 2+len(values)*67)
	json = append(json, '[')
	for i, value := range values {
		if i > 0 {
			json = append(json, ',')
		}
		json = append(json, '"')
		json = hex.AppendEncode(json, value)
		json = append(json, '"')
	}
	return string(append(json, ']'))
}

// forShare is empty: there is one writer at a time, and transactions on the writing connection begin as such.
func (*sqliteDialect) forShare() string { return "" }

// forUpdate is empty as well.
func (*sqliteDialect) forUpdate() string { return "" }

// sqliteRowsPerInsert is how many rows a statement inserts: a call of the driver costs about as much as a quarter of a row.
const sqliteRowsPerInsert = 25

func sqliteInsertSubjects(rows int) string {
	return `INSERT INTO subjects (id, lookup, key_id, wrapped, keys, identity) VALUES (?, ?, ?, ?, ?, ?)` + strings.Repeat(`, (?, ?, ?, ?, ?, ?)`, rows-1) +
		` ON CONFLICT (lookup) DO NOTHING`
}

func (*sqliteDialect) insertSubjects(ctx context.Context, tx *sql.Tx, rows []subjectRow) (int64, error) {
	whole := len(rows) / sqliteRowsPerInsert
	args := make([]any, 0, 6*sqliteRowsPerInsert) // a statement copies what it is given
	of := func(rows []subjectRow) []any {
		args = args[:0]
		for i := range rows {
			r := &rows[i]
			args = append(args, r.id[:], r.lookup[:], r.keyID[:], r.wrapped, r.keys, r.identity)
		}
		return args
	}
	inserted, err := eachRow(ctx, tx, sqliteInsertSubjects(sqliteRowsPerInsert), whole, func(i int) []any {
		return of(rows[i*sqliteRowsPerInsert:][:sqliteRowsPerInsert])
	})
	if err != nil {
		return 0, err
	}
	rest := rows[whole*sqliteRowsPerInsert:]
	singly, err := eachRow(ctx, tx, sqliteInsertSubjects(1), len(rest), func(i int) []any { return of(rest[i : i+1]) })
	return inserted + singly, err
}

const sqliteRewrapSubject = `UPDATE subjects SET wrapped = ?, keys = ?, identity = ? WHERE id = ? AND wrapped = ?`

func (*sqliteDialect) rewrapSubjects(ctx context.Context, tx *sql.Tx, generation int, rows []rewrapped) (int64, error) {
	return eachRow(ctx, tx, sqliteRewrapSubject, len(rows), func(i int) []any {
		r := &rows[i]
		return []any{generation, r.keys, r.identity, r.id[:], r.from}
	})
}

// eachRow executes one statement n times and adds up the affected rows.
func eachRow(ctx context.Context, tx *sql.Tx, statement string, n int, args func(i int) []any) (int64, error) {
	prepared, err := tx.PrepareContext(ctx, statement)
	if err != nil {
		return 0, err
	}
	defer prepared.Close()
	var total int64
	for i := range n {
		result, err := prepared.ExecContext(ctx, args(i)...)
		if err != nil {
			return total, err
		}
		affected, err := result.RowsAffected()
		if err != nil {
			return total, err
		}
		total += affected
	}
	return total, nil
}

// durable is what the pragmas are for.
func (*sqliteDialect) durable(context.Context) error { return nil }

func (s *sqliteDialect) replaced() error {
	now, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: the file %s is gone: put it back and restart this process", ErrUnavailable, s.path)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case !os.SameFile(now, s.file):
		return fmt.Errorf("%w: the file %s was replaced while it was open: restart this process", ErrUnavailable, s.path)
	}
	return nil
}

func (s *sqliteDialect) lockMigrations(ctx context.Context) (func() error, error) {
	return lockFile(ctx, s.path+".lock")
}

func (*sqliteDialect) migrations() (goose.Dialect, fs.FS, error) {
	files, err := schemas.VaultSQLite()
	return goose.DialectSQLite3, files, err
}

// erase moves the journal into the database, where secure_delete has overwritten what was deleted, and truncates it.
func (s *sqliteDialect) erase(ctx context.Context) error {
	var busy, logPages, movedPages int
	if err := s.write.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &logPages, &movedPages); err != nil {
		return err
	}
	if busy != 0 {
		return fmt.Errorf("%w: the journal could not be truncated because another connection reads from it", ErrUnavailable)
	}
	return nil
}

func (*sqliteDialect) keepsDeleted() bool { return false }

func (*sqliteDialect) unavailable(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL,
		sqlite3.SQLITE_INTERRUPT:
		return true
	}
	return false
}

func (*sqliteDialect) conflict(err error) bool {
	return sqliteCode(err) == sqlite3.SQLITE_BUSY
}

// sqliteCode returns the primary result code in err, or 0.
func sqliteCode(err error) int {
	var failure *sqlite.Error
	if errors.As(err, &failure) {
		return failure.Code() & 0xff
	}
	return 0
}
