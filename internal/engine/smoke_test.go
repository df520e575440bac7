package engine_test

import (
	"context"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/agentaudit/agentaudit/internal/engine/enginetest"
)

func TestSmoke(t *testing.T) {
	p := enginetest.Start(t, enginetest.Options{})
	db, err := clickhouse.Open(&clickhouse.Options{Addr: []string{p.Address}, Protocol: clickhouse.HTTP,
		Auth: clickhouse.Auth{Username: p.User, Password: p.Password, Database: "default"},
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	if err := db.Exec(ctx, "CREATE TABLE t (a UInt64, s String) ENGINE=MergeTree ORDER BY a"); err != nil {
		t.Fatal(err)
	}
	b, err := db.PrepareBatch(ctx, "INSERT INTO t")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if err := b.Append(uint64(i), "x"); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Send(); err != nil {
		t.Fatal(err)
	}
	var n uint64
	if err := db.QueryRow(ctx, "SELECT count() FROM t").Scan(&n); err != nil || n != 1000 {
		t.Fatal(n, err)
	}
	if err := db.Exec(ctx, "SELEC 1"); err == nil {
		t.Fatal("no error")
	} else {
		t.Log(err)
	}
}
