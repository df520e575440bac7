package engine_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"
)

func options(method clickhouse.CompressionMethod) *clickhouse.Options {
	o := &clickhouse.Options{Addr: []string{shared.Address}, Protocol: clickhouse.HTTP,
		Auth:        clickhouse.Auth{Username: shared.User, Password: shared.Password, Database: "default"},
		Compression: &clickhouse.Compression{Method: method}}
	switch method {
	case clickhouse.CompressionGZIP, clickhouse.CompressionDeflate, clickhouse.CompressionBrotli:
		o.Settings = clickhouse.Settings{"enable_http_compression": 1}
		o.Compression.Level = 1
	}
	return o
}

// The unmodified clickhouse-go writes and reads every kind of column that we use, however the
// transfer is packed.
func TestClickHouseGo(t *testing.T) {
	ctx := context.Background()
	for name, method := range map[string]clickhouse.CompressionMethod{"none": clickhouse.CompressionNone, "lz4": clickhouse.CompressionLZ4,
		"zstd": clickhouse.CompressionZSTD, "gzip": clickhouse.CompressionGZIP, "deflate": clickhouse.CompressionDeflate, "br": clickhouse.CompressionBrotli} {
		t.Run(name, func(t *testing.T) {
			db, err := clickhouse.Open(options(method))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			tab := table(t, shared, `id UUID, kind Enum8('event' = 1, 'control' = 4), seq UInt64, time DateTime64(6, 'UTC'), hash FixedString(4),
				tenant LowCardinality(String), attributes Map(LowCardinality(String), String), subjects Array(UUID), cost Float64, note Nullable(String), day Date, nested Array(Array(Int32))`)
			id := uuid.New()
			at := time.Date(2026, 11, 20, 21, 14, 5, 123456000, time.UTC)
			note := "n\n\nSELECT 1;\x00"
			row := []any{id, "control", uint64(1 << 63), at, "\x00\x01\n\n", "acme", map[string]string{"k": "v\n\n;"}, []uuid.UUID{id, {}}, 1.5, &note,
				time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), [][]int32{{1, -2}, {}}}
			const rows = 3000
			b, err := db.PrepareBatch(ctx, "INSERT INTO "+tab)
			if err != nil {
				t.Fatal(err)
			}
			for range rows {
				if err := b.Append(row...); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.Send(); err != nil {
				t.Fatal(err)
			}
			got, err := db.Query(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_block_size": 1000})), "SELECT * FROM "+tab)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Close()
			n := 0
			for ; got.Next(); n++ {
				back := make([]any, len(row))
				for i, v := range row {
					back[i] = reflect.New(reflect.TypeOf(v)).Interface()
				}
				if err := got.Scan(back...); err != nil {
					t.Fatal(err)
				}
				for i, v := range row {
					x := reflect.ValueOf(back[i]).Elem().Interface()
					if at, ok := v.(time.Time); ok && at.Equal(x.(time.Time)) {
						continue
					}
					if !reflect.DeepEqual(x, v) {
						t.Fatalf("column %d: %v came back as %v", i, v, x)
					}
				}
			}
			if err := got.Err(); err != nil || n != rows {
				t.Fatalf("%d rows, %v", n, err)
			}
			var x uint64
			if err := db.QueryRow(ctx, "SELECT {a:UInt64} + count() FROM "+tab, clickhouse.Named("a", "5")).Scan(&x); err != nil || x != rows+5 {
				t.Errorf("parameters: %d, %v", x, err)
			}
			if err := db.Exec(clickhouse.Context(ctx, clickhouse.WithAsync(true)), "INSERT INTO "+tab+" (seq) VALUES (7)"); err != nil {
				t.Errorf("async insert: %v", err)
			}
			if err := db.QueryRow(ctx, "SELECT count() FROM "+tab+" WHERE seq = 7").Scan(&x); err != nil || x != 1 {
				t.Errorf("after an async insert: %d, %v", x, err)
			}
			var failed *clickhouse.Exception
			if err := db.Exec(ctx, "INSERT INTO nowhere VALUES (1)"); !errors.As(err, &failed) || failed.Code != 60 {
				t.Errorf("an exception: %v", err)
			}
			if err := db.QueryRow(ctx, "SELECT throwIf(number = 3000000) FROM numbers(4000000) ORDER BY number DESC LIMIT 1").Scan(&x); err == nil {
				t.Error("no exception")
			}
			late, err := db.Query(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_threads": 1})), "SELECT throwIf(number = 3000000) FROM numbers(10000000)")
			if err == nil {
				for late.Next() {
				}
				err = late.Err()
			}
			if !errors.As(err, &failed) || failed.Code != 395 {
				t.Errorf("an exception within the answer: %v", err)
			}
		})
	}
}

func TestClickHouseGoCancels(t *testing.T) {
	db, err := clickhouse.Open(options(clickhouse.CompressionLZ4))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- db.Exec(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"log_comment": "go-cancel"})), "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)")
	}()
	waitFor(t, func() bool { return running(t, "go-cancel") == "1" })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
	waitFor(t, func() bool { return running(t, "go-cancel") == "0" })
}

func TestDatabaseSQL(t *testing.T) {
	db, err := sql.Open("clickhouse", fmt.Sprintf("http://%s:%s@%s/default?max_threads=1", shared.User, shared.Password, shared.Address))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	tab := table(t, shared, "a Int64, b String")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	st, err := tx.Prepare("INSERT INTO " + tab)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for i := range 10 {
		if _, err := st.Exec(int64(i), fmt.Sprint("b", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO "+tab+" VALUES (?, ?)", 100, "it's\n\n;"); err != nil {
		t.Fatal(err)
	}
	var n, sum int64
	var last string
	if err := db.QueryRow("SELECT toInt64(count()), sum(a), argMax(b, a) FROM "+tab+" WHERE a >= ?", 0).Scan(&n, &sum, &last); err != nil || n != 11 || sum != 145 || last != "it's\n\n;" {
		t.Errorf("%d rows, sum %d, last %q, %v", n, sum, last, err)
	}
}
