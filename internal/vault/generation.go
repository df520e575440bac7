package vault

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Generation is one log of a Kafka partition: number 0 is the first, and each `log reopen` starts the next.
type Generation struct {
	Topic           string
	Partition       int
	Generation      int
	Log             string
	Predecessor     string // name of the log before; "" for generation 0
	PredecessorSize uint64
	PredecessorHead chain.Hash
	FirstOffset     int64 // where the log begins in the partition
	Reason          string
	At              time.Time // kept in microseconds, UTC
}

const (
	generationColumns = `SELECT topic, partition, generation, log, predecessor, predecessor_size, predecessor_head, first_offset, reason, at_micros
		FROM log_generations`
	latestGeneration = generationColumns + ` WHERE topic = ? AND partition = ? ORDER BY generation DESC LIMIT 1`
	allGenerations   = generationColumns + ` ORDER BY topic, partition, generation`
	insertGeneration = `INSERT INTO log_generations
		(topic, partition, generation, log, predecessor, predecessor_size, predecessor_head, first_offset, reason, at_micros)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
)

func scanGeneration(rows *sql.Rows, g *Generation) error {
	return rows.Scan(&g.Topic, &g.Partition, &g.Generation, &g.Log, &g.Predecessor, &g.PredecessorSize, fixed(g.PredecessorHead[:]), &g.FirstOffset, &g.Reason,
		microTime{&g.At})
}

// CurrentLog returns the partition's latest generation. When nothing is stored that is generation 0, with nothing but its name.
func (v *Vault) CurrentLog(ctx context.Context, topic string, partition int) (Generation, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	g, err := v.latestGeneration(ctx, v.db.read, topic, partition)
	if err != nil {
		return Generation{}, v.failed("read the current log of "+chain.LogName(topic, partition, 0), err)
	}
	return g, nil
}

func (v *Vault) latestGeneration(ctx context.Context, q queryer, topic string, partition int) (Generation, error) {
	list, err := collect(ctx, q, scanGeneration, v.db.query(latestGeneration), topic, partition)
	if err != nil {
		return Generation{}, err
	}
	if len(list) == 0 {
		return Generation{Topic: topic, Partition: partition, Log: chain.LogName(topic, partition, 0)}, nil
	}
	return list[0], nil
}

// Reopen stores next as the generation after from. ErrSuperseded when from is not the latest any more. After any other error the outcome is unknown:
// CurrentLog tells.
func (v *Vault) Reopen(ctx context.Context, from int, next Generation) error {
	previous, name := chain.LogName(next.Topic, next.Partition, from), chain.LogName(next.Topic, next.Partition, from+1)
	doing := "reopen " + previous + " as " + name
	if next.Generation != from+1 || next.Log != name || next.Predecessor != previous || next.PredecessorSize > math.MaxInt64 {
		return fmt.Errorf("%s: the new generation is number %d, %s after %s", doing, next.Generation, next.Log, next.Predecessor)
	}
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		latest, err := v.latestGeneration(ctx, tx, next.Topic, next.Partition)
		if err != nil {
			return err
		}
		if latest.Generation != from {
			return ErrSuperseded
		}
		// Somebody may insert the same number in the meantime: the primary key lets only one in.
		result, err := tx.ExecContext(ctx, v.db.query(insertGeneration), next.Topic, next.Partition, next.Generation, next.Log, next.Predecessor,
			int64(next.PredecessorSize), next.PredecessorHead[:], next.FirstOffset, next.Reason, next.At.UnixMicro())
		if err != nil {
			return err
		}
		if inserted, err := result.RowsAffected(); err != nil || inserted == 1 {
			return err
		}
		return ErrSuperseded
	})
	if err != nil {
		return v.failed(doing, err)
	}
	return nil
}

// Generations returns all stored generations, by topic, partition and number.
func (v *Vault) Generations(ctx context.Context) ([]Generation, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := collect(ctx, v.db.read, scanGeneration, allGenerations)
	if err != nil {
		return nil, v.failed("read the reopened logs", err)
	}
	return list, nil
}
