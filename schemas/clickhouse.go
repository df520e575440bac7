package schemas

import (
	"embed"
	"io/fs"
)

//go:embed clickhouse/*.sql
var clickHouseFiles embed.FS

// ClickHouse returns the store's migrations. They are templates (text/template):
// .Database, .OnCluster, and .Engine of a table's name.
func ClickHouse() (fs.FS, error) { return fs.Sub(clickHouseFiles, "clickhouse") }
