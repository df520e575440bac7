package schemas

import (
	"embed"
	"io/fs"
)

//go:embed vault/sqlite/*.sql vault/postgres/*.sql
var vaultFiles embed.FS

// VaultSQLite returns the vault's migrations for SQLite.
func VaultSQLite() (fs.FS, error) { return fs.Sub(vaultFiles, "vault/sqlite") }

// VaultPostgres returns the vault's migrations for PostgreSQL.
func VaultPostgres() (fs.FS, error) { return fs.Sub(vaultFiles, "vault/postgres") }
