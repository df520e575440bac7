package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pressly/goose/v3/database"
)

// versionTable is goose's record of the migrations that were run. goose's own one knows
// no clusters. A version may stand in it several times, when processes ran a
// migration at once.
type versionTable struct{ names migrationNames }

// Tablename implements database.Store.
func (v *versionTable) Tablename() string { return v.names.Database + ".migrations" }

// CreateVersionTable implements database.Store.
func (v *versionTable) CreateVersionTable(ctx context.Context, db database.DBTxConn) error {
	_, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+v.Tablename()+" "+v.names.OnCluster()+
		" (version Int64, at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = "+v.names.Engine("migrations")+" ORDER BY version")
	return err
}

// TableExists implements database.StoreExtender.
func (v *versionTable) TableExists(ctx context.Context, db database.DBTxConn) (bool, error) {
	var n uint64
	err := db.QueryRowContext(ctx, "SELECT count() FROM system.tables WHERE database = ? AND name = 'migrations'", v.names.Database).Scan(&n)
	return n > 0, err
}

// Insert implements database.Store.
func (v *versionTable) Insert(ctx context.Context, db database.DBTxConn, req database.InsertRequest) error {
	_, err := db.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (version) SELECT %d", v.Tablename(), req.Version))
	return err
}

// Delete implements database.Store. Versions are never taken back: entries cannot be
// migrated down.
func (v *versionTable) Delete(context.Context, database.DBTxConn, int64) error {
	return database.ErrNotImplemented
}

// GetMigration implements database.Store.
func (v *versionTable) GetMigration(ctx context.Context, db database.DBTxConn, version int64) (*database.GetMigrationResult, error) {
	var at time.Time
	err := db.QueryRowContext(ctx, "SELECT at FROM "+v.Tablename()+" WHERE version = ? ORDER BY at LIMIT 1", version).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: %d", database.ErrVersionNotFound, version)
	}
	return &database.GetMigrationResult{Timestamp: at, IsApplied: true}, err
}

// GetLatestVersion implements database.Store.
func (v *versionTable) GetLatestVersion(ctx context.Context, db database.DBTxConn) (int64, error) {
	var n uint64
	var latest int64
	if err := db.QueryRowContext(ctx, "SELECT count(), max(version) FROM "+v.Tablename()).Scan(&n, &latest); err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, database.ErrVersionNotFound
	}
	return latest, nil
}

// ListMigrations implements database.Store.
func (v *versionTable) ListMigrations(ctx context.Context, db database.DBTxConn) ([]*database.ListMigrationsResult, error) {
	rows, err := db.QueryContext(ctx, "SELECT DISTINCT version FROM "+v.Tablename()+" ORDER BY version DESC")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []*database.ListMigrationsResult
	for rows.Next() {
		one := &database.ListMigrationsResult{IsApplied: true}
		if err := rows.Scan(&one.Version); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
