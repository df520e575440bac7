package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Scan calls fn with the entries of log from seq from on, ordered, as they are stored:
// doubles and gaps show. entry is valid until fn returns. Memory is bounded by a few
// blocks whatever the length of the log. An error of fn ends the scan and is returned
// as it is.
func (s *Store) Scan(ctx context.Context, log string, from uint64, fn func(seq uint64, entry []byte, leaf chain.Hash) error) error {
	var (
		seq   proto.ColUInt64
		entry bytesColumn
		leaf  proto.ColFixedStr32
	)
	results := proto.Results{{Name: "seq", Data: &seq}, {Name: "entry", Data: &entry}, {Name: "leaf_hash", Data: &leaf}}
	return s.scan(ctx, scannedColumns, log, from, sameColumns(results), func(rows int) error {
		for i := range rows {
			if err := fn(seq[i], entry.row(i), leaf[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// scannedColumns are those that Scan and ScanLinks read.
const scannedColumns = "seq, entry, leaf_hash"

// sameColumns has every block decoded into the same columns.
func sameColumns(results proto.Results) func() (proto.Results, error) {
	return func() (proto.Results, error) { return results, nil }
}

// errorOf marks an error of a caller's function, which is none of ours to wrap.
type errorOf struct{ err error }

func (e errorOf) Error() string { return e.err.Error() }

func (s *Store) scan(ctx context.Context, columns, log string, from uint64, next func() (proto.Results, error), each func(rows int) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	sql := "SELECT " + columns + " FROM " + s.events + " WHERE log = {log:String} AND seq >= {from:UInt64} ORDER BY log, seq FORMAT Native"
	p := s.scanParams().with(params{"param_log": paramText(log), "param_from": strconv.FormatUint(from, 10)})
	err := s.read(ctx, func(at *server) error {
		return at.readBlocks(ctx, sql, p, next, func(rows int) error {
			if err := each(rows); err != nil {
				return errorOf{err}
			}
			return nil
		})
	})
	if ours, ok := err.(errorOf); ok { //nolint:errorlint // read and readNative hand it through as it is
		return ours.err
	}
	if err != nil {
		return fmt.Errorf("scan %s: %w", log, err)
	}
	return nil
}

// scanParams are settings under which rows come in the order of the primary key
// without being sorted, a few megabytes at a time.
func (s *Store) scanParams() params {
	return s.readParams().with(params{
		"optimize_read_in_order":     "1",
		"max_block_size":             strconv.Itoa(scanBlockRows),
		"preferred_block_size_bytes": strconv.Itoa(scanBlockBytes),
	})
}

const (
	// scanBlockRows is a granule of the table, the least that is read: 4 MB of entries of 500 bytes, and no more than 10 MB of larger ones.
	scanBlockRows  = 8 << 10
	scanBlockBytes = 1 << 20
)
