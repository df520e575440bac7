package vault

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Drivers of Config.
const (
	DriverSQLite   = "sqlite"
	DriverPostgres = "postgres"
)

// defaultTimeout is long enough for a batch of thousands of new subjects on a slow disk.
const defaultTimeout = 15 * time.Second

// adoptTimeout is enough for a million rows on a slow connection.
const adoptTimeout = 15 * time.Minute

// Config says where the vault is.
type Config struct {
	// Driver is DriverSQLite or DriverPostgres.
	Driver string
	// DSN is the path of the database file (sqlite), or a connection string as libpq knows it (postgres), where sslmode, sslrootcert and so on
	// decide about TLS. Connect to PostgreSQL's primary, directly or through a pooler that pools sessions.
	DSN string
	// Deployment is the name under which the logs are published. The first Open stores it; a later one with another name is refused.
	Deployment string
	// Timeout bounds each call that brings no earlier deadline. 0 means 15 s.
	Timeout time.Duration
	// Forged is called, by any goroutine, for each row that is found not to be one of ours, before the call that came upon it ends. nil: nobody is told but by errors.
	Forged func(*ForgedError) `json:"-"`
}

// Vault is an open vault.
type Vault struct {
	db         *database
	keys       *Keyring
	deployment string
	secrets    deploymentSecrets
	timeout    time.Duration
	forged     func(*ForgedError) // nil: nobody is told
	// generation is the key generation that new rows are wrapped under, as last read from the database. A transaction that adds rows checks it.
	generation atomic.Int64
}

// Open connects, brings the schema up to date, and loads the deployment's secrets, which the very first Open creates. It fails with ErrWrongKeyring
// when keys is not the keyring that this vault is encrypted under.
func Open(ctx context.Context, cfg Config, keys *Keyring) (*Vault, error) {
	if cfg.Deployment == "" {
		return nil, errors.New("open vault: the deployment has no name")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	db, err := openDatabase(cfg)
	if err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	v := &Vault{db: db, keys: keys, deployment: cfg.Deployment, timeout: cfg.Timeout, forged: cfg.Forged}
	if err := db.durable(ctx); err != nil {
		return nil, errors.Join(v.failed("open vault", err), db.close())
	}
	if err := db.migrate(ctx); err != nil {
		return nil, errors.Join(v.failed("bring the vault's schema up to date", err), db.close())
	}
	err = v.loadDeployment(ctx)
	if errors.Is(err, errNotAdopted) {
		// Once in the vault's life, and as long as its rows need.
		ctx, cancel := context.WithTimeout(whole, adoptTimeout)
		defer cancel()
		if err = v.adopt(ctx); err == nil {
			err = v.loadDeployment(ctx)
		}
	}
	if err != nil {
		return nil, errors.Join(v.failed("open vault", err), db.close())
	}
	return v, nil
}

// Close ends all connections, after the calls in progress.
func (v *Vault) Close() error { return v.db.close() }

// Ping says whether the database answers and is the one that was opened.
func (v *Vault) Ping(ctx context.Context) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	var name string
	err := v.db.watch.QueryRowContext(ctx, "SELECT name FROM deployment").Scan(&name)
	if err := v.db.settled(err); err != nil {
		return v.failed("ask the vault for its name", err)
	}
	if name != v.deployment {
		return fmt.Errorf("the vault's database was replaced by the one of deployment %q", name)
	}
	return nil
}

// bounded gives a call its deadline.
func (v *Vault) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, v.timeout)
}
