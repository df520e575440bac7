package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/pressly/goose/v3"
)

// database is the connection to one of the two engines. SQL that both understand stands where it is used, with ? for parameters, each used once and in
// order; what differs stands in sqlite.go and postgres.go.
type database struct {
	dialect
	// write runs transactions that change something, read all other queries. watch is one connection for the lease's query and Ping, which must not
	// wait for a free one behind others.
	write, read, watch *sql.DB
}

// dialect is where SQLite and PostgreSQL differ.
type dialect interface {
	// query puts this engine's parameters in the place of ?.
	query(sql string) string
	// in is a condition that is true for the rows whose column is in a set, which is one parameter made by set.
	in(column string) string
	set(values [][]byte) any
	// forShare ends a SELECT in a transaction whose rows must not change before its end.
	forShare() string
	// forUpdate ends one whose rows this transaction is going to change.
	forUpdate() string
	// insertSubjects adds those of rows whose person is not there yet and returns how many that were.
	insertSubjects(ctx context.Context, tx *sql.Tx, rows []subjectRow) (int64, error)
	// rewrapSubjects stores rows that were wrapped under another generation since, and returns how many were still as they had been.
	rewrapSubjects(ctx context.Context, tx *sql.Tx, generation int, rows []rewrapped) (int64, error)
	// durable refuses an engine that acknowledges before it has written: content could be sealed under keys that a crash takes away.
	durable(ctx context.Context) error
	// replaced fails when the database is not the one that was opened any more, although the connections work: they would go on with an abandoned one.
	replaced() error
	// lockMigrations waits until no other process migrates this database.
	lockMigrations(ctx context.Context) (unlock func() error, err error)
	migrations() (goose.Dialect, fs.FS, error)
	// erase makes sure that deleted rows are in no file of the database any more, as far as that can be done.
	erase(ctx context.Context) error
	// keepsDeleted says whether that is not all of it.
	keepsDeleted() bool
	// unavailable says whether a call that failed with err may succeed later, and conflict whether a transaction may at once.
	unavailable(err error) bool
	conflict(err error) bool
}

// transactionAttempts bounds how often a transaction is repeated that lost against another one.
const transactionAttempts = 10

func openDatabase(cfg Config) (*database, error) {
	switch cfg.Driver {
	case DriverSQLite:
		return openSQLite(cfg.DSN)
	case DriverPostgres:
		return openPostgres(cfg.DSN, cfg.Timeout)
	}
	return nil, fmt.Errorf("vault driver %q: wanted %s or %s", cfg.Driver, DriverSQLite, DriverPostgres)
}

// migrate brings the schema up to date. Processes that start together take turns.
func (d *database) migrate(ctx context.Context) (err error) {
	unlock, err := d.lockMigrations(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	engine, files, err := d.migrations()
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(engine, d.write, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// inTransaction runs work in a transaction, and again if it lost against another one. work must bear being repeated.
func (d *database) inTransaction(ctx context.Context, work func(tx *sql.Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := d.once(ctx, work)
		if err == nil || attempt == transactionAttempts || ctx.Err() != nil || !d.conflict(err) {
			return err
		}
		wait := time.NewTimer(rand.N(time.Duration(attempt) * 5 * time.Millisecond)) //nolint:gosec // parts two losers, guards no secret
		select {
		case <-ctx.Done():
			wait.Stop()
			return err
		case <-wait.C:
		}
	}
}

func (d *database) once(ctx context.Context, work func(tx *sql.Tx) error) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := work(tx); err != nil {
		// A failed rollback means a lost connection, and the error of work says so already.
		_ = tx.Rollback()
		return err
	}
	// Nothing may be acknowledged that only an abandoned database has.
	if err := d.replaced(); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

// exec runs one statement in a transaction of its own and returns the number of affected rows.
func (d *database) exec(ctx context.Context, query string, args ...any) (affected int64, err error) {
	err = d.inTransaction(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, d.query(query), args...)
		if err != nil {
			return err
		}
		affected, err = result.RowsAffected()
		return err
	})
	return affected, err
}

// settled returns why an answer that came, or failed with err, does not count. That the database was replaced comes first: it explains what else fails.
func (d *database) settled(err error) error {
	if replaced := d.replaced(); replaced != nil {
		return replaced
	}
	return err
}

func (d *database) close() error {
	var errs []error
	for _, pool := range []*sql.DB{d.watch, d.read, d.write} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(errs...)
}

// queryer is a pool or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// collect runs a query and scans each row.
func collect[T any](ctx context.Context, q queryer, scan func(rows *sql.Rows, to *T) error, query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []T
	for rows.Next() {
		var one T
		if err := scan(rows, &one); err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, rows.Err()
}

// fixed scans a column of exactly n bytes into a slice of an array.
type fixed []byte

func (f fixed) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok || len(b) != len(f) {
		return errors.New("column of another type or length than " + strconv.Itoa(len(f)) + " bytes")
	}
	copy(f, b)
	return nil
}

// microTime scans a column of microseconds since 1970 into a time in UTC.
type microTime struct{ at *time.Time }

func (m microTime) Scan(src any) error {
	micros, ok := src.(int64)
	if !ok {
		return errors.New("column of another type than an integer, in microseconds")
	}
	*m.at = time.UnixMicro(micros).UTC()
	return nil
}
