package vault

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"sync/atomic"
	"time"
)

// ErrTurnLost: another process may do by now what this one was doing alone.
var ErrTurnLost = errors.New("the turn was lost")

const (
	defaultTurn = 6 * time.Second
	minTurn     = 100 * time.Millisecond
)

const (
	selectTurn = `SELECT holder, term, beat FROM turns WHERE name = ?`
	insertTurn = `INSERT INTO turns (name, holder, term, beat) VALUES (?, ?, 1, 1) ON CONFLICT (name) DO NOTHING`
	// takeTurn takes it only in the state that was watched.
	takeTurn = `UPDATE turns SET holder = ?, term = term + 1, beat = 1 WHERE name = ? AND term = ? AND beat = ?`
	beatTurn = `UPDATE turns SET beat = beat + 1 WHERE name = ? AND holder = ? AND term = ?`
	giveTurn = `UPDATE turns SET holder = ?, beat = beat + 1 WHERE name = ? AND holder = ? AND term = ?`
)

// Turn is the right of one process among several to do something alone. The holder gives a sign of life several times in a length; whoever wants the turn takes
// it after a whole length without one, and the holder regards it as lost after two thirds of a length. All of that is measured on each process's own monotonic
// clock, so no clock that is set, and no difference between two machines', can give a turn to two.
//
// What remains: a process that is stopped between asking Held and the work behind it wakes up late. Work whose doubling does harm must be fenced, as
// SaveDetector is.
type Turn struct {
	vault  *Vault
	name   string
	length time.Duration
	holder [16]byte
	base   time.Time // carries the monotonic clock

	term  atomic.Int64
	until atomic.Int64 // nanoseconds after base
	away  atomic.Int64 // the same: until when it is known that the vault does not say whose turn it is
	// stored is the version of the snapshot that SaveDetector has stored last in this turn; 0: none yet.
	stored atomic.Int64
}

// NewTurn returns a candidate for a turn. A length of 0 means 6 s.
func (v *Vault) NewTurn(name string, length time.Duration) *Turn {
	if length == 0 {
		length = defaultTurn
	}
	t := &Turn{vault: v, name: name, length: max(length, minTurn), base: time.Now()}
	rand.Read(t.holder[:]) // never fails
	return t
}

// Held says whether the turn is this process's now.
func (t *Turn) Held() bool { return int64(time.Since(t.base)) < t.until.Load() }

// Term is the number of this turn. It rises with each holder.
func (t *Turn) Term() int64 { return t.term.Load() }

type turnRow struct {
	holder     []byte
	term, beat int64
}

// Await returns nil once the turn is this process's. It asks the vault four times in a length, outlasts a vault that is away, and returns the reason with which
// ctx ended. waiting, if not nil, is called with every failure.
func (t *Turn) Await(ctx context.Context, waiting func(error)) error {
	var seen turnRow
	var since time.Time
	for {
		asked := time.Now()
		row, found, err := t.look(ctx)
		taken := false
		switch {
		case err != nil:
			since = time.Time{} // nobody knows what happened meanwhile
		case !found:
			taken, err = t.change(ctx, insertTurn, t.name, t.holder[:])
			row.term = 0
		case len(row.holder) == 0 || !since.IsZero() && row.term == seen.term && row.beat == seen.beat && asked.Sub(since) >= t.length:
			taken, err = t.change(ctx, takeTurn, t.holder[:], t.name, row.term, row.beat)
		case since.IsZero() || row.term != seen.term || row.beat != seen.beat:
			seen, since = row, time.Now()
		}
		if taken {
			t.term.Store(row.term + 1)
			t.stored.Store(0)
			t.extend(asked)
			return nil
		}
		if err != nil && ctx.Err() == nil && waiting != nil {
			waiting(err)
		}
		if err := pauseFor(ctx, t.length/4); err != nil {
			return err
		}
	}
}

// Hold keeps the turn until ctx ends, and then gives it back and returns nil. It returns ErrTurnLost once the vault says that the turn is another process's; Await
// may be called again then. While the vault is away Hold goes on, and Held says no: whoever cannot reach it either takes no turn, and whether anybody can,
// this process cannot tell. away, if not nil, is called with every failure.
func (t *Turn) Hold(ctx context.Context, away func(error)) error {
	defer t.until.Store(0)
	for {
		if err := pauseFor(ctx, t.length/6); err != nil {
			return t.giveBack(context.WithoutCancel(ctx))
		}
		asked := time.Now()
		bounded, cancel := context.WithTimeout(ctx, t.length/3)
		kept, err := t.change(bounded, beatTurn, t.name, t.holder[:], t.Term())
		cancel()
		switch {
		case err == nil && kept:
			t.extend(asked)
		case err == nil:
			return ErrTurnLost
		case ctx.Err() == nil:
			t.away.Store(int64(time.Since(t.base) + t.length))
			if away != nil {
				away(err)
			}
		}
	}
}

// Certain returns at once while Held says yes, or when the vault was asked a moment ago and is away: whoever goes on without it may. Otherwise it waits until Hold, which
// must be running, has heard whose turn it is, so that a process that was stopped for a while does not go on with what another one has begun meanwhile. It fails
// when ctx ends, as it does when Hold has failed.
func (t *Turn) Certain(ctx context.Context) error {
	for !t.Held() && int64(time.Since(t.base)) >= t.away.Load() {
		if err := pauseFor(ctx, t.length/60); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// extend: a sign of life counts from before it was given.
func (t *Turn) extend(asked time.Time) {
	t.until.Store(int64(asked.Sub(t.base) + t.length*2/3))
}

// giveBack lets the next one begin at once.
func (t *Turn) giveBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.length/3)
	defer cancel()
	t.until.Store(0)
	_, err := t.change(ctx, giveTurn, []byte{}, t.name, t.holder[:], t.Term())
	return err
}

func (t *Turn) look(ctx context.Context) (row turnRow, found bool, err error) {
	ctx, cancel := t.vault.bounded(ctx)
	defer cancel()
	rows, err := collect(ctx, t.vault.db.watch, func(rows *sql.Rows, r *turnRow) error { return rows.Scan(&r.holder, &r.term, &r.beat) },
		t.vault.db.query(selectTurn), t.name)
	if err := t.vault.db.settled(err); err != nil {
		return row, false, t.vault.failed("look whose turn it is", err)
	}
	if len(rows) == 0 {
		return row, false, nil
	}
	return rows[0], true, nil
}

func (t *Turn) change(ctx context.Context, query string, args ...any) (bool, error) {
	ctx, cancel := t.vault.bounded(ctx)
	defer cancel()
	changed, err := t.vault.db.exec(ctx, query, args...)
	if err != nil {
		return false, t.vault.failed("take or keep a turn", err)
	}
	return changed == 1, nil
}

// mine fails in a transaction when the turn is another one's by now, and otherwise keeps it this one's until the end of the transaction.
func (t *Turn) mine(ctx context.Context, tx *sql.Tx) error {
	rows, err := collect(ctx, tx, func(rows *sql.Rows, r *turnRow) error { return rows.Scan(&r.holder, &r.term, &r.beat) },
		t.vault.db.query(selectTurn+t.vault.db.forShare()), t.name)
	if err != nil {
		return err
	}
	if len(rows) != 1 || rows[0].term != t.Term() || string(rows[0].holder) != string(t.holder[:]) {
		return ErrTurnLost
	}
	return nil
}

func pauseFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
