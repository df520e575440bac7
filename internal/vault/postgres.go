package vault

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/agentaudit/agentaudit/schemas"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

const (
	postgresConns          = 8 // each for reading and for writing
	postgresConnectTimeout = 5 * time.Second
	// postgresMigrationLock is the number of the advisory lock: "agentaud" in ASCII.
	postgresMigrationLock = 0x6167656e74617564
)

type postgresDialect struct{ write *sql.DB }

func openPostgres(dsn string, timeout time.Duration) (*database, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err // its text masks the password
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = postgresConnectTimeout
	}
	// The server gives up as soon as the caller has, even if the news of that does not reach it.
	for name, value := range map[string]string{
		"application_name":                    "agentaudit",
		"statement_timeout":                   milliseconds(timeout),
		"idle_in_transaction_session_timeout": milliseconds(timeout),
	} {
		if _, given := cfg.RuntimeParams[name]; !given {
			cfg.RuntimeParams[name] = value
		}
	}
	d := &database{}
	for _, pool := range []struct {
		db    **sql.DB
		conns int
	}{{&d.write, postgresConns}, {&d.read, postgresConns}, {&d.watch, 1}} {
		db := sql.OpenDB(stdlib.GetConnector(*cfg))
		db.SetMaxOpenConns(pool.conns)
		db.SetMaxIdleConns(pool.conns)
		db.SetConnMaxIdleTime(5 * time.Minute)
		*pool.db = db
	}
	d.dialect = &postgresDialect{write: d.write}
	return d, nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func (p *postgresDialect) durable(ctx context.Context) error {
	for _, setting := range []string{"fsync", "synchronous_commit"} {
		var value string
		if err := p.write.QueryRowContext(ctx, "SELECT current_setting($1)", setting).Scan(&value); err != nil {
			return err
		}
		if value == "off" {
			return errors.New("PostgreSQL setting " + setting + " is off: a crash would lose keys that content is already sealed under; turn it on")
		}
	}
	return nil
}

func (*postgresDialect) query(sql string) string {
	var b strings.Builder
	n := 0
	for {
		before, after, found := strings.Cut(sql, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		n++
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
		sql = after
	}
}

func (*postgresDialect) in(column string) string { return column + " = ANY(?::bytea[])" }

func (*postgresDialect) set(values [][]byte) any { return values }

func (*postgresDialect) forShare() string { return " FOR SHARE" }

func (*postgresDialect) forUpdate() string { return " FOR UPDATE" }

// The order is the same in all transactions, so that none of two that add the same people waits for the other.
const postgresInsertSubjects = `
INSERT INTO subjects (id, lookup, key_id, wrapped, keys, identity)
SELECT id, lookup, key_id, $4::bigint, keys, identity
FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $5::bytea[], $6::bytea[]) AS new (id, lookup, key_id, keys, identity)
ORDER BY lookup
ON CONFLICT (lookup) DO NOTHING`

func (*postgresDialect) insertSubjects(ctx context.Context, tx *sql.Tx, rows []subjectRow) (int64, error) {
	var ids, lookups, keyIDs, keys, identities [][]byte
	for i := range rows {
		r := &rows[i]
		ids, lookups, keyIDs = append(ids, r.id[:]), append(lookups, r.lookup[:]), append(keyIDs, r.keyID[:])
		keys, identities = append(keys, r.keys), append(identities, r.identity)
	}
	result, err := tx.ExecContext(ctx, postgresInsertSubjects, ids, lookups, keyIDs, rows[0].wrapped, keys, identities)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

const postgresRewrapSubjects = `
UPDATE subjects SET wrapped = $1, keys = new.keys, identity = new.identity
FROM unnest($2::bytea[], $3::bigint[], $4::bytea[], $5::bytea[]) AS new (id, wrapped, keys, identity)
WHERE subjects.id = new.id AND subjects.wrapped = new.wrapped`

func (*postgresDialect) rewrapSubjects(ctx context.Context, tx *sql.Tx, generation int, rows []rewrapped) (int64, error) {
	var ids, keys, identities [][]byte
	var from []int64
	for i := range rows {
		r := &rows[i]
		ids, from, keys, identities = append(ids, r.id[:]), append(from, int64(r.from)), append(keys, r.keys), append(identities, r.identity)
	}
	result, err := tx.ExecContext(ctx, postgresRewrapSubjects, generation, ids, from, keys, identities)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// replaced: what a server restores, or a standby misses, shows in the changes.
func (*postgresDialect) replaced() error { return nil }

func (p *postgresDialect) lockMigrations(ctx context.Context) (func() error, error) {
	conn, err := p.write.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(postgresMigrationLock)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return func() error {
		// Also after ctx has ended: the connection goes back to the pool and would keep the lock.
		_, err := conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(postgresMigrationLock))
		return errors.Join(err, conn.Close())
	}, nil
}

func (*postgresDialect) migrations() (goose.Dialect, fs.FS, error) {
	files, err := schemas.VaultPostgres()
	return goose.DialectPostgres, files, err
}

// erase does nothing: when dead rows and WAL go is up to the server. Until then they are as good as gone once the generation of the key-encryption key
// that they were wrapped under is.
func (*postgresDialect) erase(context.Context) error { return nil }

func (*postgresDialect) keepsDeleted() bool { return true }

func (*postgresDialect) unavailable(err error) bool {
	var failure *pgconn.PgError
	if errors.As(err, &failure) {
		switch class := failure.Code[:min(2, len(failure.Code))]; class {
		case "08", "40", "53", "57", "58": // connection, transaction rolled back, resources, operator, system
			return true
		}
		return failure.Code == "55P03" || failure.Code == "25006" || failure.Code == "25P03" // lock not available, read-only standby, idle in transaction
	}
	var network net.Error
	var connecting *pgconn.ConnectError
	return errors.As(err, &network) || errors.As(err, &connecting) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, sql.ErrConnDone)
}

// conflict: serialization failure, deadlock.
func (*postgresDialect) conflict(err error) bool {
	var failure *pgconn.PgError
	return errors.As(err, &failure) && (failure.Code == "40001" || failure.Code == "40P01")
}
