package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

// Emitter sends events to Kafka, from all replicas acknowledged, so that a
// user's events stay in order. Safe for concurrent use.
//
// An accepted event is in one of these places, in this order of age:
//
//	on its way   a batch that was sent and is not yet acknowledged
//	the spool    on disk, encrypted, while Kafka is away or slower than the agent
//	the queue    in memory
//
// What is promised when a call returns nil:
//
//	Emit      the event is in the queue or in the spool. A process that is killed
//	          loses what is in the queue and on its way: at most the events of the
//	          last SpoolAfter, usually of the last milliseconds. The spool
//	          survives the process; a power loss takes at most what was written
//	          to it in the last SpoolSyncEvery.
//	EmitSync  all replicas of Kafka have the event, or the spool has it and was
//	          synced to disk.
//	Flush     the same, for every event accepted before it.
//	Close     the same, for every event.
//
// Delivery is at least once: a request without an answer is sent again, and so is
// the front of the spool after a crash. Event ids make such duplicates visible.
// The first copies of a user's events are in order.
//
// Emit returns at once but for one write to the file system's cache while events
// go to the spool. What it does when queue and spool are full is WhenFull.
type Emitter struct {
	cfg  EmitterConfig
	deps EmitterDeps
	log  *slog.Logger

	producerID string
	kafka      *producer
	spool      *spool // nil without SpoolDir
	ages       *ageWatch

	wake   chan struct{} // has a token when the sender has something to look at
	kick   chan struct{} // has a token when somebody waits for a sync
	stop   chan struct{} // closed by Close
	cancel context.CancelFunc
	sender chan struct{} // closed when the sender has ended
	syncer chan struct{} // closed when the syncer has ended
	halt   chan struct{} // closed to end the syncer
	closed chan struct{} // closed when Close is done

	mu         sync.Mutex
	queue      []item
	queueBytes int
	window     *window // what the sender has taken, nil while it waits
	// spooling: every accepted event goes to the spool, and the queue is empty,
	// until the spool is drained.
	spooling   bool
	stopping   bool
	spillFails bool   // the last attempt to spill failed: logged once
	accepted   uint64 // events so far; the next one's producer.seq, and its ticket - 1
	settled    uint64 // every event up to this ticket is in Kafka, in the synced spool, or given up
	waiters    []waiter
	room       chan struct{} // closed and replaced when room was made
	counters   Stats         // what only grows, and KafkaUp
}

// item is an accepted event. Tickets count from 1; an event that was read from
// the spool has none.
type item struct {
	ticket uint64
	since  time.Time // when it was accepted, by the monotonic clock
	spoolRecord
}

func (it *item) bytes() int { return len(it.key) + len(it.value) }

// waiter is told when a ticket is settled.
type waiter struct {
	ticket uint64
	done   chan error // with room for one
	flush  bool       // waits for all up to the ticket, not for the fate of that one
}

// NewEmitter checks the configuration, opens the spool, and starts sending what
// an earlier process left there; a file of the spool that cannot be read is set
// aside and counted. Kafka need not be there. Close ends it.
func NewEmitter(cfg EmitterConfig, deps EmitterDeps) (*Emitter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	log := deps.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	producer, err := newProducer(&cfg, deps.Dial)
	if err != nil {
		return nil, err
	}
	e := &Emitter{
		cfg: cfg, deps: deps, log: log, kafka: producer,
		ages:       newAgeWatch(cfg.SpoolMaxAge, log),
		producerID: NewUUID(time.Now()).String(),
		wake:       make(chan struct{}, 1),
		kick:       make(chan struct{}, 1),
		stop:       make(chan struct{}),
		sender:     make(chan struct{}),
		syncer:     make(chan struct{}),
		halt:       make(chan struct{}),
		closed:     make(chan struct{}),
		room:       make(chan struct{}),
		counters:   Stats{KafkaUp: true},
	}
	if cfg.ProducerName != "" {
		e.producerID = cfg.ProducerName + "/" + e.producerID
	}
	if cfg.SpoolDir != "" {
		keys := append([][]byte{cfg.SpoolKey}, cfg.SpoolOldKeys...)
		if e.spool, err = openSpool(cfg.SpoolDir, cfg.SpoolMaxBytes, keys, log); err != nil {
			return nil, fmt.Errorf("open the spool: %w", err)
		}
		found, _ := e.spool.pending()
		e.counters.Recovered = uint64(found)
		e.spooling = found > 0
	}
	if deps.Metrics != nil {
		if err := deps.Metrics.Register(collector{e}); err != nil {
			err = fmt.Errorf("register the emitter's metrics: %w", err)
			if e.spool != nil {
				err = errors.Join(err, e.spool.close())
			}
			return nil, err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	go e.send(ctx) // ends after Close closed stop; cancel hurries it
	go e.keep()    // ends when Close closed halt
	return e, nil
}

// ProducerID is the producer.id of this emitter's events: random, so that it is
// unique to this start of the process.
func (e *Emitter) ProducerID() string { return e.producerID }

// Emit accepts an event, or says why not: an *Invalid that names field and
// reason, ErrQueueFull, ErrSpoolFull, ErrClosed, or an error of the spool's file
// system. The record is neither kept nor changed. A zero EventID and a zero Time
// are filled in (UUIDv7, now), Producer is always set by the emitter; who needs
// the id afterwards sets it with NewUUID.
//
// ctx matters only to the policy WaitWhenFull.
func (e *Emitter) Emit(ctx context.Context, r *Record) error {
	_, err := e.emit(ctx, r, nil)
	return err
}

// EmitSync is Emit, and waits until Kafka has acknowledged the event or the
// synced spool has it, which takes at most about SpoolAfter. Without a spool it
// waits as long as Kafka is away. If ctx ends before, the event stays accepted
// and the error is that of ctx; an event that Kafka refuses is ErrRefused.
func (e *Emitter) EmitSync(ctx context.Context, r *Record) error {
	done := make(chan error, 1)
	ticket, err := e.emit(ctx, r, done)
	if err != nil {
		return err
	}
	return e.await(ctx, ticket, done)
}

// Flush waits until every event accepted before it is in Kafka or in the synced
// spool, or given up.
func (e *Emitter) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	e.mu.Lock()
	ticket := e.accepted
	if e.settled >= ticket {
		e.mu.Unlock()
		return nil
	}
	e.waiters = append(e.waiters, waiter{ticket: ticket, done: done, flush: true})
	e.mu.Unlock()
	return e.await(ctx, ticket, done)
}

func (e *Emitter) await(ctx context.Context, ticket uint64, done <-chan error) error {
	signal(e.wake)
	signal(e.kick)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for event %d to be acknowledged, it stays queued: %w", ticket-1, ctx.Err())
	}
}

// emit accepts a record and registers who waits for it.
func (e *Emitter) emit(ctx context.Context, r *Record, done chan error) (ticket uint64, err error) {
	d, err := e.encode(r)
	if err != nil {
		e.mu.Lock()
		e.counters.Invalid++
		e.mu.Unlock()
		return 0, err
	}
	for {
		ticket, room, err := e.accept(d, done)
		if room == nil {
			return ticket, err
		}
		select {
		case <-room:
		case <-ctx.Done():
			e.mu.Lock()
			e.counters.Full++
			e.mu.Unlock()
			return 0, fmt.Errorf("%w: %w", err, ctx.Err())
		case <-e.stop:
			return 0, ErrClosed
		}
	}
}

// draft is an encoded record with a gap where its producer.seq goes.
type draft struct {
	now         time.Time
	key         []byte
	head, tail  []byte
	spaceForAll []byte // as long as the whole record with the longest seq
}

// maxSeqDigits stands in a draft for a seq that is not known yet: it is as long
// as the longest one, so that the record is checked at its largest.
const maxSeqDigits = "9007199254740991"

// encode checks a record by the one parser.
func (e *Emitter) encode(r *Record) (*draft, error) {
	now := time.Now()
	filled := *r
	if filled.EventID == (UUID{}) {
		filled.EventID = NewUUID(now)
	}
	if filled.Time.IsZero() {
		filled.Time = now
	}
	filled.Producer = &Producer{ID: e.producerID, Seq: maxCount}
	buf, err := filled.AppendJSON(make([]byte, 0, 1024))
	if err != nil {
		return nil, err
	}
	if len(buf) > e.cfg.MaxEventBytes {
		return nil, &Invalid{Field: "record", Reason: reasonTooLong(e.cfg.MaxEventBytes)}
	}
	if reservedType(filled.Type) {
		return nil, &Invalid{Field: "type", Reason: reasonReserved}
	}
	// The first match is ours: only text stands before it, whose quotes are
	// escaped.
	producer := bytes.Index(buf, []byte(`"producer":{`))
	seq := producer + bytes.Index(buf[producer:], []byte(`"seq":`+maxSeqDigits)) + len(`"seq":`)
	return &draft{
		now:         now,
		key:         Key(nil, filled.Tenant, filled.UserID),
		head:        buf[:seq],
		tail:        buf[seq+len(maxSeqDigits):],
		spaceForAll: make([]byte, 0, len(buf)),
	}, nil
}

// accept puts an event where it waits, and gives it its seq: only accepted
// events have one, so that the seqs have no gap. If there is no room and the
// caller may wait, it returns a channel that is closed when room was made.
func (e *Emitter) accept(d *draft, done chan error) (ticket uint64, room <-chan struct{}, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopping {
		return 0, nil, ErrClosed
	}
	value := append(d.spaceForAll[:0], d.head...)
	value = strconv.AppendUint(value, e.accepted, 10)
	value = append(value, d.tail...)
	it := item{e.accepted + 1, d.now, spoolRecord{timeMillis: e.ages.stamp(d.now), key: d.key, value: value}}

	if err := e.place(it); err != nil {
		full := errors.Is(err, ErrQueueFull) || errors.Is(err, ErrSpoolFull)
		if full && e.cfg.WhenFull == WaitWhenFull {
			return 0, e.room, err
		}
		e.counters.Full++
		return 0, nil, err
	}
	e.accepted++
	if done != nil {
		e.waiters = append(e.waiters, waiter{ticket: it.ticket, done: done})
	}
	return it.ticket, nil, nil
}

// place puts an item into the queue or the spool. The caller holds mu.
func (e *Emitter) place(it item) error {
	if !e.spooling {
		if len(e.queue) < e.cfg.QueueRecords && e.queueBytes+it.bytes() <= e.cfg.QueueBytes {
			e.queue = append(e.queue, it)
			e.queueBytes += it.bytes()
			if len(e.queue) == 1 || len(e.queue) == e.cfg.BatchRecords {
				signal(e.wake)
			}
			return nil
		}
		if e.spool == nil {
			return ErrQueueFull
		}
		if err := e.spill(); err != nil {
			return err
		}
	}
	if _, err := e.spool.append(it.spoolRecord); err != nil {
		return err
	}
	e.counters.Spooled++
	return nil
}

// signal leaves a token in a channel that has room for one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
