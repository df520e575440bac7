package store

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// EpochRange is the part of a log that stands in one epoch. Epochs only grow along a log, so it has no gaps but those that were pruned.
type EpochRange struct {
	Log         string
	Epoch       uint32
	First, Last uint64 // seqs
}

// EpochRanges returns the epochs of all logs, by log and epoch. It reads a few bytes of every row.
func (s *Store) EpochRanges(ctx context.Context) ([]EpochRange, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	var (
		log         proto.ColStr
		epoch       proto.ColUInt32
		first, last proto.ColUInt64
		ranges      []EpochRange
	)
	sql := "SELECT CAST(log, 'String') AS log_name, epoch, min(seq) AS first, max(seq) AS last FROM " + s.events + " GROUP BY log, epoch ORDER BY log_name, epoch FORMAT Native"
	results := proto.Results{{Name: "log_name", Data: &log}, {Name: "epoch", Data: &epoch}, {Name: "first", Data: &first}, {Name: "last", Data: &last}}
	err := s.read(ctx, func(at *server) error {
		ranges = ranges[:0]
		return at.readNative(ctx, sql, s.readParams(), results, func(rows int) error {
			for i := range rows {
				ranges = append(ranges, EpochRange{Log: log.Row(i), Epoch: epoch[i], First: first[i], Last: last[i]})
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read the epochs of the logs: %w", err)
	}
	return ranges, nil
}

// Part is a part of a log that goes.
type Part struct {
	Log    string
	From   uint64
	Behind uint64
}

func (p *Part) where() string {
	return "log = " + literal(p.Log) + " AND seq >= " + strconv.FormatUint(p.From, 10) + " AND seq < " + strconv.FormatUint(p.Behind, 10)
}

// literal quotes the name of a log. Mutations take no parameters; names of logs hold nothing that needs escaping, see chain.ParseLog.
func literal(log string) string { return "'" + log + "'" }

// DropEntries deletes the rows of a part of a log, and DropContents empties their ciphertexts, of which the entry goes on naming hash and keys. They return
// when nothing of it is left: for a large part after minutes, during which progress is told how many rows are left. Repeated, or after a crash, they wait for
// the work that is under way already. The user must be allowed ALTER DELETE and ALTER UPDATE.
func (s *Store) DropEntries(ctx context.Context, p Part, progress func(left uint64)) error {
	if err := s.mutate(ctx, "events", p.Log, "DELETE WHERE "+p.where(), p.where(), progress); err != nil {
		return fmt.Errorf("drop entries of %s: %w", p.Log, err)
	}
	return nil
}

// DropContents is described at DropEntries.
func (s *Store) DropContents(ctx context.Context, p Part, progress func(left uint64)) error {
	condition := p.where() + " AND content != ''"
	if err := s.mutate(ctx, "events", p.Log, "UPDATE content = '' WHERE "+condition, condition, progress); err != nil {
		return fmt.Errorf("drop contents of %s: %w", p.Log, err)
	}
	return nil
}

// mutationPoll is how often a mutation is asked for what is left.
const mutationPoll = 250 * time.Millisecond

// mutate runs a mutation of one of our tables until no row of a log meets the condition any more. It does not wait for the statement: one that takes longer than a query may is still done
// by the server, and one that was given twice finds nothing to do.
func (s *Store) mutate(ctx context.Context, table, log, change, condition string, progress func(left uint64)) error {
	if _, _, _, err := chain.ParseLog(log); err != nil {
		return err
	}
	tick := time.NewTicker(mutationPoll)
	defer tick.Stop()
	for started := false; ; started = true {
		left, err := s.number(ctx, "SELECT count() AS n FROM "+s.cfg.Database+"."+table+" WHERE "+condition+" FORMAT Native")
		if err != nil || left == 0 {
			return err
		}
		if !started {
			if err := s.alter(ctx, table, change); err != nil {
				return err
			}
		} else if err := s.stuck(ctx, table); err != nil {
			return err
		}
		if progress != nil {
			progress(left)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// alter begins a mutation, which reaches all replicas of a replicated table by itself.
func (s *Store) alter(ctx context.Context, table, change string) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	p := s.readParams().with(params{"mutations_sync": "0"})
	return s.read(ctx, func(at *server) error {
		return at.copyResult(ctx, "ALTER TABLE "+s.cfg.Database+"."+table+" "+change, p, io.Discard)
	})
}

// stuck returns the reason why a mutation of the table does not go on: the server tries it again for ever.
func (s *Store) stuck(ctx context.Context, table string) error {
	const sql = "SELECT latest_fail_reason AS name FROM system.mutations " +
		"WHERE database = {database:String} AND table = {table:String} AND NOT is_done AND latest_fail_reason != '' FORMAT Native"
	reasons, err := s.texts(ctx, sql, params{"param_database": s.cfg.Database, "param_table": table})
	if err != nil || len(reasons) == 0 {
		return err
	}
	return fmt.Errorf("clickhouse cannot do it: %s", reasons[0])
}

// number reads one number, called n.
func (s *Store) number(ctx context.Context, sql string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	var n proto.ColUInt64
	err := s.read(ctx, func(at *server) error {
		return at.readNative(ctx, sql, s.readParams(), proto.Results{{Name: "n", Data: &n}}, func(int) error { return nil })
	})
	if err == nil && n.Rows() != 1 {
		err = fmt.Errorf("%d rows instead of one number", n.Rows())
	}
	if err != nil {
		return 0, err
	}
	return n.Row(0), nil
}
