package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Deps is what a writer works with.
type Deps[B any] struct {
	Store  Store[B]
	Anchor AnchorFunc
	// Retrying is told of each failure that the writer overcomes by trying again.
	// It must not block.
	Retrying func(log string, err error)
}

// Writer extends one log. It has one owner at a time and is not safe for
// concurrent use.
type Writer[B any] struct {
	log  string
	cfg  Config
	deps Deps[B]

	head    chain.Head
	seen    time.Time  // when the store was last seen to have head
	session Session[B] // nil after an unknown outcome

	// attempt is raised when the token of head is proved burned. The proof holds for
	// this session only: the next run of the server may have lost the token, and then
	// another writer's first attempt and our second one would both be accepted.
	attempt uint32
}

// NewWriter checks the configuration. Load must come before Extend.
func NewWriter[B any](log string, cfg Config, deps Deps[B]) (*Writer[B], error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Retrying == nil {
		deps.Retrying = func(string, error) {}
	}
	return &Writer[B]{log: log, cfg: cfg, deps: deps}, nil
}

// Close gives up the session. Nothing that was acknowledged depends on it.
func (w *Writer[B]) Close() { w.dropSession() }

// Head is the head that the next batch must extend.
func (w *Writer[B]) Head() chain.Head { return w.head }

// Load reads the stored head in a new session and holds it against the log's
// checkpoint. Failures of the store are overcome by trying again until ctx ends.
// A *RollbackError or a *chain.Fault is final. A log that is closed is loaded;
// Extend refuses it.
func (w *Writer[B]) Load(ctx context.Context) error {
	w.dropSession()
	return w.untilDone(ctx, func() error {
		head, err := w.open(ctx)
		if err != nil {
			return err
		}
		w.head = head
		return nil
	})
}

// Extend stores a batch on top of Head, next being the head that it makes.
//
// It returns nil once the batch is stored and read back, and ErrSuperseded when
// the head of the log turned out to be another one. It tries again, for as long
// as ctx allows, after everything else; when ctx ends the outcome is unknown, and
// only Load tells. ErrClosed, *RollbackError and *chain.Fault are final.
func (w *Writer[B]) Extend(ctx context.Context, batch B, next chain.Head) error {
	if w.head.Closed {
		return fmt.Errorf("extend %s: %w", w.log, ErrClosed)
	}
	if next.Size <= w.head.Size {
		return fmt.Errorf("extend %s: a batch that leads from size %d to %d", w.log, w.head.Size, next.Size)
	}
	return w.untilDone(ctx, func() error {
		stored, err := w.try(ctx, batch, next)
		if err != nil || !stored {
			return err
		}
		w.head, w.attempt = next, 0
		return nil
	})
}

// errAgain has try called again at once: the token of the head was raised.
var errAgain = errors.New("token raised")

// try makes one attempt. After an error the session is gone, so that the next
// attempt starts by reading what this one has done.
func (w *Writer[B]) try(ctx context.Context, batch B, next chain.Head) (stored bool, err error) {
	defer func() {
		if err != nil && !errors.Is(err, errAgain) {
			w.dropSession()
		}
	}()
	if w.session == nil {
		head, err := w.open(ctx)
		if err != nil {
			return false, err
		}
		switch {
		case sameHead(head, next): // an earlier attempt landed after all
			return true, nil
		case !sameHead(head, w.head):
			return false, w.superseded(head)
		}
	} else if time.Since(w.seen) >= w.cfg.SeenWithin {
		// Rows may have been deleted since: on top of them the batch would leave a hole behind it that no writer looks into again.
		head, err := w.readHead(ctx)
		switch {
		case err != nil:
			return false, err
		case !sameHead(head, w.head):
			return false, w.superseded(head)
		}
	}
	if err := w.insert(ctx, batch); err != nil {
		return false, err
	}
	// A dropped duplicate was acknowledged like a stored batch: only the head tells.
	head, err := w.readHead(ctx)
	switch {
	case err != nil:
		return false, err
	case sameHead(head, next):
		return true, nil
	case !sameHead(head, w.head):
		return false, w.superseded(head)
	}
	return false, w.burned(ctx, next)
}

// burned decides what an insert means that was acknowledged while the head
// stayed where it was. The token is noted before the rows are live, so either
// the insert that noted it is still at work, or it died in between and its rows
// will never come. The second is proved when the head has not moved for twice
// the time that the store allows an insert, and no insert into this log is
// running: every request that bears the token and comes from now on is dropped.
// To raise the attempt on less would let two batches extend one head.
func (w *Writer[B]) burned(ctx context.Context, next chain.Head) error {
	acknowledged := time.Now()
	for {
		if err := sleep(ctx, min(w.cfg.burnWait()/20+time.Millisecond, time.Second)); err != nil {
			return err
		}
		waited := time.Since(acknowledged) >= w.cfg.burnWait()
		quiet := false
		if waited {
			var err error
			if quiet, err = w.quiet(ctx); err != nil {
				return err
			}
		}
		// The head is read after the store was found quiet: an insert that ended in
		// between has moved it. The session also proves that it is still the same run
		// of the server that acknowledged the insert.
		head, err := w.readHead(ctx)
		switch {
		case err != nil:
			return err
		case !sameHead(head, w.head):
			if sameHead(head, next) {
				// Ours, by an earlier request. The next attempt starts with the head and says so.
				return fmt.Errorf("insert into %s at seq %d landed late", w.log, w.head.Size)
			}
			return w.superseded(head)
		case waited && quiet:
			w.attempt++
			return errAgain
		}
	}
}

// open starts a session and reads the head in it. The anchor is read first: the
// checkpoint moves only after the rows it covers, so that a head read later
// holds it, unless the store went back.
func (w *Writer[B]) open(ctx context.Context) (chain.Head, error) {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.ReadTimeout)
	defer cancel()
	anchor, anchored, err := w.deps.Anchor(ctx, w.log)
	if err != nil {
		return chain.Head{}, fmt.Errorf("read checkpoint of %s: %w", w.log, err)
	}
	session, err := w.deps.Store.OpenSession(ctx, w.log)
	if err != nil {
		return chain.Head{}, fmt.Errorf("open session for %s: %w", w.log, err)
	}
	w.session, w.attempt = session, 0
	head, err := w.readHead(ctx)
	if err == nil && anchored {
		err = w.holds(ctx, head, anchor)
	}
	if err != nil {
		w.dropSession()
		return chain.Head{}, err
	}
	return head, nil
}

// holds checks that the store still has what the checkpoint covers.
func (w *Writer[B]) holds(ctx context.Context, head chain.Head, anchor Anchor) error {
	if anchor.Size == 0 {
		return nil
	}
	rollback := func(reason string) error {
		return &RollbackError{Log: w.log, Anchor: anchor, Stored: head.Size, Reason: reason}
	}
	if head.Size < anchor.Size {
		return rollback("its last entries are missing")
	}
	leaf, found, err := w.session.LeafAt(ctx, anchor.Size-1)
	switch {
	case err != nil:
		return fmt.Errorf("read entry %d of %s: %w", anchor.Size-1, w.log, err)
	case !found:
		return rollback(fmt.Sprintf("entry %d is missing", anchor.Size-1))
	case leaf != anchor.Leaf:
		return rollback(fmt.Sprintf("entry %d is another one", anchor.Size-1))
	}
	return nil
}

func (w *Writer[B]) insert(ctx context.Context, batch B) error {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.InsertTimeout)
	defer cancel()
	if err := w.session.Insert(ctx, w.head.Token(w.attempt), batch); err != nil {
		return fmt.Errorf("insert into %s at seq %d: %w", w.log, w.head.Size, err)
	}
	return nil
}

func (w *Writer[B]) readHead(ctx context.Context) (chain.Head, error) {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.ReadTimeout)
	defer cancel()
	head, err := w.session.Head(ctx)
	if err != nil {
		return chain.Head{}, fmt.Errorf("read head of %s: %w", w.log, err)
	}
	w.seen = time.Now()
	return head, nil
}

func (w *Writer[B]) quiet(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.ReadTimeout)
	defer cancel()
	quiet, err := w.deps.Store.Quiet(ctx, w.log)
	if err != nil {
		return false, fmt.Errorf("look for running inserts into %s: %w", w.log, err)
	}
	return quiet, nil
}

// untilDone repeats step with growing pauses until it succeeds, fails for good, or ctx ends.
func (w *Writer[B]) untilDone(ctx context.Context, step func() error) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval, pause.Multiplier = w.cfg.RetryMin, w.cfg.RetryMax, 2
	pause.Reset()
	for {
		err := step()
		switch {
		case err == nil || final(err):
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), err)
		case errors.Is(err, errAgain):
			continue
		}
		w.deps.Retrying(w.log, err)
		if sleepErr := sleep(ctx, pause.NextBackOff()); sleepErr != nil {
			return fmt.Errorf("%w (last: %w)", sleepErr, err)
		}
	}
}

func final(err error) bool {
	var rollback *RollbackError
	var fault *chain.Fault
	return errors.Is(err, ErrSuperseded) || errors.Is(err, ErrClosed) || errors.As(err, &rollback) || errors.As(err, &fault)
}

func (w *Writer[B]) superseded(head chain.Head) error {
	return fmt.Errorf("%s at seq %d, expected %d: %w", w.log, head.Size, w.head.Size, ErrSuperseded)
}

func (w *Writer[B]) dropSession() {
	if w.session != nil {
		w.session.Close()
		w.session = nil
	}
}

// sameHead compares what the leaf hash commits to; the other fields follow from it.
func sameHead(a, b chain.Head) bool { return a.Size == b.Size && a.Leaf == b.Leaf }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
