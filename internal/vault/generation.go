package vault

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strconv"
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
	generationColumns = `SELECT topic, partition, generation, log, predecessor, predecessor_size, predecessor_head, first_offset, reason, at_micros, mac
		FROM log_generations`
	generationsOf    = generationColumns + ` WHERE topic = ? AND partition = ? ORDER BY generation`
	allGenerations   = generationColumns + ` ORDER BY topic, partition, generation`
	insertGeneration = `INSERT INTO log_generations
		(topic, partition, generation, log, predecessor, predecessor_size, predecessor_head, first_offset, reason, at_micros, mac)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
)

// describe is for a MAC: a made up generation would have ingest leave a log, and go on in another one from an offset of somebody's choice.
func (g *Generation) describe(t *rowText) {
	t.beginNamed("log_generations", shownName(g.Topic)+"/"+strconv.Itoa(g.Partition)+" generation "+strconv.Itoa(g.Generation))
	t.string(g.Topic)
	t.number(int64(g.Partition))
	t.number(int64(g.Generation))
	t.string(g.Log)
	t.string(g.Predecessor)
	t.number(int64(g.PredecessorSize))
	t.bytes(g.PredecessorHead[:])
	t.number(g.FirstOffset)
	t.string(g.Reason)
	t.time(g.At)
}

func scanGeneration(rows scanner, g *Generation) error {
	return rows.Scan(&g.Topic, &g.Partition, &g.Generation, &g.Log, &g.Predecessor, &g.PredecessorSize, fixed(g.PredecessorHead[:]), &g.FirstOffset, &g.Reason,
		microTime{&g.At})
}

// CurrentLog returns the partition's latest generation. When nothing is stored that is generation 0, with nothing but its name. ErrForged if any generation of the
// partition is not ours, or one before the latest is missing: which log is the current one is not known then.
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
	list, err := genuine(ctx, v, q, scanGeneration, generationsOf, topic, partition)
	if err != nil {
		return Generation{}, err
	}
	if err := v.complete(list); err != nil {
		return Generation{}, err
	}
	if len(list) == 0 {
		return Generation{Topic: topic, Partition: partition, Log: chain.LogName(topic, partition, 0)}, nil
	}
	return list[len(list)-1], nil
}

// complete returns a *ForgedError if a generation is missing before another one of its partition: they are never deleted. list is in order.
func (v *Vault) complete(list []Generation) error {
	for i := range list {
		g, want := &list[i], 1
		if i > 0 && list[i-1].Topic == g.Topic && list[i-1].Partition == g.Partition {
			want = list[i-1].Generation + 1
		}
		if g.Generation != want {
			missing := Generation{Topic: g.Topic, Partition: g.Partition, Generation: want}
			var text rowText
			missing.describe(&text)
			return v.tell(text.forged())
		}
	}
	return nil
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
			int64(next.PredecessorSize), next.PredecessorHead[:], next.FirstOffset, next.Reason, microsOrZero(next.At), v.mac(&next))
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

// Generations returns all stored generations, by topic, partition and number; ErrForged if one is not ours, or missing before another one.
func (v *Vault) Generations(ctx context.Context) ([]Generation, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := genuine(ctx, v, v.db.read, scanGeneration, allGenerations)
	if err == nil {
		err = v.complete(list)
	}
	if err != nil {
		return nil, v.failed("read the reopened logs", err)
	}
	return list, nil
}
