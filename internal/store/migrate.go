package store

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"text/template"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/pressly/goose/v3"

	"github.com/agentaudit/agentaudit/schemas"
)

const (
	// migrateTimeout bounds one statement of a migration. ON CLUSTER waits for all replicas.
	migrateTimeout = 2 * time.Minute
	// migrateAttempts: of processes that start at once, one may meet a table half made by another.
	migrateAttempts = 5
)

// Migrate creates the database and brings its tables up to date. Any number of
// processes may do so at once: the statements can be repeated.
func (s *Store) Migrate(ctx context.Context) error {
	db, err := s.openSQL("default")
	if err != nil {
		return err
	}
	defer db.Close()
	files, err := schemas.ClickHouse()
	if err != nil {
		return fmt.Errorf("clickhouse migrations: %w", err)
	}
	for attempt := 1; ; attempt++ {
		err := s.migrate(ctx, db, files)
		if err == nil || attempt == migrateAttempts || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(attempt) * 200 * time.Millisecond):
		}
	}
}

func (s *Store) migrate(ctx context.Context, db *sql.DB, files fs.FS) error {
	names := migrationNames{Database: s.cfg.Database, cluster: s.cfg.Cluster, path: s.cfg.ReplicatedPath}
	if _, err := db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS "+names.Database+" "+names.OnCluster()); err != nil {
		return fmt.Errorf("create clickhouse database %s: %w", names.Database, err)
	}
	provider, err := goose.NewProvider(goose.DialectCustom, db, templates{files, names}, goose.WithStore(&versionTable{names: names}))
	if err != nil {
		return fmt.Errorf("clickhouse migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate clickhouse database %s: %w", names.Database, err)
	}
	return nil
}

// openSQL opens the ordinary client. Its connections begin in database.
func (s *Store) openSQL(database string) (*sql.DB, error) {
	options, err := s.clientOptions(database)
	if err != nil {
		return nil, err
	}
	return clickhouse.OpenDB(options), nil
}

func (s *Store) clientOptions(database string) (*clickhouse.Options, error) {
	options := &clickhouse.Options{
		Protocol:         clickhouse.HTTP,
		Auth:             clickhouse.Auth{Database: database, Username: s.cfg.User, Password: s.cfg.Password},
		ConnOpenStrategy: clickhouse.ConnOpenInOrder,
		DialTimeout:      dialTimeout,
		ReadTimeout:      max(migrateTimeout, s.cfg.QueryTimeout),
		ConnMaxLifetime:  time.Hour,
	}
	for _, at := range s.servers {
		options.Addr = append(options.Addr, at.base.Host)
		if at.base.Scheme == "https" {
			options.TLS = s.transport.TLSClientConfig.Clone()
		}
	}
	options.TransportFunc = func(t *http.Transport) (http.RoundTripper, error) {
		t.Proxy = nil
		return t, nil
	}
	return options, nil
}

// migrationNames is what the templates of migrations know.
type migrationNames struct {
	Database      string
	cluster, path string
}

// OnCluster is empty for a single server.
func (n migrationNames) OnCluster() string {
	if n.cluster == "" {
		return ""
	}
	return "ON CLUSTER '" + n.cluster + "'"
}

// Engine returns the engine of a table.
func (n migrationNames) Engine(table string) string { return n.engine("MergeTree", table) }

// Replacing returns the engine of a table whose rows of one key are equal, so that one is enough.
func (n migrationNames) Replacing(table string) string { return n.engine("ReplacingMergeTree", table) }

func (n migrationNames) engine(kind, table string) string {
	if n.cluster == "" {
		return kind
	}
	return "Replicated" + kind + "('" + n.path + "/" + n.Database + "/" + table + "', '{replica}')"
}

// templates is a file system whose files are filled in when they are opened.
type templates struct {
	files fs.FS
	names migrationNames
}

func (t templates) Open(name string) (fs.File, error) {
	f, err := t.files.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return f, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	parsed, err := template.New(name).Option("missingkey=error").Parse(string(text))
	if err != nil {
		return nil, err
	}
	var filled bytes.Buffer
	if err := parsed.Execute(&filled, t.names); err != nil {
		return nil, err
	}
	return &filledFile{Reader: bytes.NewReader(filled.Bytes()), info: info}, nil
}

// ReadDir implements fs.ReadDirFS, by which goose finds the migrations.
func (t templates) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(t.files, name) }

type filledFile struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f *filledFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *filledFile) Close() error               { return nil }
