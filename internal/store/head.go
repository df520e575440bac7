package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// headReader reads single entries with their leaves. It belongs to one goroutine.
type headReader struct {
	log    proto.ColStr
	seq    proto.ColUInt64
	entry  proto.ColStr
	leaf   proto.ColFixedStr32
	hasher *chain.Hasher
	got    []storedEntry
}

type storedEntry struct {
	log   string
	seq   uint64
	entry []byte
	leaf  chain.Hash
}

func newHeadReader() headReader { return headReader{hasher: chain.NewHasher()} }

// tipQuery reads which entry is the last one. from is at or below it, so that the primary
// key prunes nearly everything. Two rows of one seq are a double.
func tipQuery(events string) string {
	return "SELECT seq, leaf_hash FROM " + events +
		" WHERE log = {log:String} AND seq >= {from:UInt64} ORDER BY seq DESC LIMIT 2 FORMAT Native"
}

// coldTipQuery is tipQuery when nothing is known: it looks at the one column seq of the
// whole log first.
func coldTipQuery(events string) string {
	return "SELECT seq, leaf_hash FROM " + events + " WHERE log = {log:String} AND seq = " +
		"(SELECT max(seq) FROM " + events + " WHERE log = {log:String}) LIMIT 2 FORMAT Native"
}

func entryQuery(events string) string {
	return "SELECT CAST(log, 'String') AS log_name, seq, entry, leaf_hash FROM " + events +
		" WHERE log = {log:String} AND seq = {seq:UInt64} LIMIT 2 FORMAT Native"
}

// head returns the head of log. known is a head that the log had before, or that an
// insert should have given it; the empty head if there is none. If the last entry still
// is that one, by its seq and leaf hash, it is not read again: a single entry costs the
// server as much as the thousands that are compressed with it.
func (r *headReader) head(ctx context.Context, s *Store, at *server, p params, known chain.Head) (chain.Head, error) {
	seq, leaf, found, err := r.tip(ctx, s, at, p, known)
	switch {
	case err != nil:
		return chain.Head{}, err
	case !found:
		return chain.EmptyHead(known.Log), nil
	case known.Size == seq+1 && known.Leaf == leaf:
		return known, nil
	}
	if err := r.readEntry(ctx, s, at, p, known.Log, seq); err != nil {
		return chain.Head{}, err
	}
	return r.only()
}

// tip returns seq and leaf hash of the last entry of known.Log.
func (r *headReader) tip(ctx context.Context, s *Store, at *server, p params, known chain.Head) (seq uint64, leaf chain.Hash, found bool, err error) {
	q := p.with(params{"param_log": paramText(known.Log)})
	if known.Size > 0 {
		q["param_from"] = strconv.FormatUint(known.Size-1, 10)
		if seq, leaf, found, err = r.readTip(ctx, at, tipQuery(s.events), q, known.Log); err != nil || found {
			return seq, leaf, found, err
		}
		// The table has gone back, or the insert was not stored.
		delete(q, "param_from")
	}
	return r.readTip(ctx, at, coldTipQuery(s.events), q, known.Log)
}

func (r *headReader) readTip(ctx context.Context, at *server, sql string, p params, log string) (seq uint64, leaf chain.Hash, found bool, err error) {
	columns := proto.Results{{Name: "seq", Data: &r.seq}, {Name: "leaf_hash", Data: &r.leaf}}
	var seqs []uint64
	err = at.readNative(ctx, sql, p, columns, func(rows int) error {
		if !found {
			seq, leaf, found = r.seq.Row(0), r.leaf.Row(0), true
		}
		for i := range rows {
			seqs = append(seqs, r.seq.Row(i))
		}
		return nil
	})
	if err == nil && len(seqs) == 2 && seqs[0] == seqs[1] {
		err = &chain.Fault{Log: log, Seq: seq, Reason: storedTwice}
	}
	return seq, leaf, found, err
}

const storedTwice = "stored more than once"

// entryAt returns one entry and its recomputed leaf hash.
func (r *headReader) entryAt(ctx context.Context, s *Store, at *server, p params, log string, seq uint64) ([]byte, chain.Hash, error) {
	if err := r.readEntry(ctx, s, at, p, log, seq); err != nil {
		return nil, chain.Hash{}, err
	}
	if err := r.check(); err != nil {
		return nil, chain.Hash{}, err
	}
	return r.got[0].entry, r.got[0].leaf, nil
}

// readEntry reads the rows at seq into got: one, or more if it is stored twice.
func (r *headReader) readEntry(ctx context.Context, s *Store, at *server, p params, log string, seq uint64) error {
	q := p.with(params{"param_log": paramText(log), "param_seq": strconv.FormatUint(seq, 10)})
	if err := r.read(ctx, at, entryQuery(s.events), q); err != nil {
		return err
	}
	if len(r.got) == 0 {
		return fmt.Errorf("%s at seq %d: %w", log, seq, ErrNotFound)
	}
	return nil
}

func (r *headReader) read(ctx context.Context, at *server, sql string, p params) error {
	r.got = r.got[:0]
	columns := proto.Results{
		{Name: "log_name", Data: &r.log}, {Name: "seq", Data: &r.seq},
		{Name: "entry", Data: &r.entry}, {Name: "leaf_hash", Data: &r.leaf},
	}
	return at.readNative(ctx, sql, p, columns, func(rows int) error {
		for i := range rows {
			entry := append([]byte(nil), r.entry.RowBytes(i)...)
			r.got = append(r.got, storedEntry{r.log.Row(i), r.seq.Row(i), entry, r.leaf.Row(i)})
		}
		return nil
	})
}

// check tells whether got[0] can be trusted as far as it goes: it stands there once,
// with its own hash beside it.
func (r *headReader) check() error {
	e := r.got[0]
	if len(r.got) > 1 {
		return &chain.Fault{Log: e.log, Seq: e.seq, Reason: storedTwice}
	}
	if r.hasher.Leaf(e.entry) != e.leaf {
		return &chain.Fault{Log: e.log, Seq: e.seq, Reason: "leaf hash beside it is not that of the entry"}
	}
	return nil
}

// only returns the head that the one entry read makes.
func (r *headReader) only() (chain.Head, error) {
	if err := r.check(); err != nil {
		return chain.Head{}, err
	}
	e := r.got[0]
	head, err := chain.HeadOf(e.entry)
	if err != nil {
		return chain.Head{}, &chain.Fault{Log: e.log, Seq: e.seq, Reason: err.Error()}
	}
	if head.Log != e.log || head.Size != e.seq+1 {
		return chain.Head{}, &chain.Fault{Log: e.log, Seq: e.seq, Reason: "the entry says another log or seq"}
	}
	return head, nil
}

// Head returns the head of log: the empty head if it has no entry, a *chain.Fault if
// its last entry is damaged or stands there twice.
func (s *Store) Head(ctx context.Context, log string) (head chain.Head, err error) {
	reader := newHeadReader()
	err = s.read(ctx, func(at *server) error {
		head, err = reader.head(ctx, s, at, s.readParams(), chain.EmptyHead(log))
		return err
	})
	if err != nil {
		return chain.Head{}, fmt.Errorf("read head of %s: %w", log, err)
	}
	return head, nil
}

// EntryAt returns one entry; ErrNotFound if there is none, a *chain.Fault if it does
// not have the leaf hash beside it or stands there twice.
func (s *Store) EntryAt(ctx context.Context, log string, seq uint64) (entry []byte, err error) {
	reader := newHeadReader()
	err = s.read(ctx, func(at *server) error {
		entry, _, err = reader.entryAt(ctx, s, at, s.readParams(), log, seq)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read entry: %w", err)
	}
	return entry, nil
}
