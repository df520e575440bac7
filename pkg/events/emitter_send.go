package events

import (
	"context"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// minBackoff is the first pause after Kafka could not be reached.
const minBackoff = 100 * time.Millisecond

// window is what the sender has taken and works on until Kafka has all of it or
// it was given up. Only then the next one is taken: that keeps each user's
// events in order.
type window struct {
	items []item // not yet acknowledged; guarded by Emitter.mu

	taken      int    // items at first
	lastTicket uint64 // of the last of them
	fromSpool  bool   // taken out of the spool: committed there when done

	// spilled: taken out of the queue and then written to the front of the spool
	// all the same, because Kafka did not answer. Guarded by Emitter.mu.
	spilled  bool
	spoolN   int   // so many records
	spoolEnd place // which end here
}

// send is the sending goroutine.
func (e *Emitter) send(ctx context.Context) {
	defer close(e.sender)
	for {
		w := e.take()
		if w == nil {
			return
		}
		if !e.deliver(ctx, w) {
			return
		}
	}
}

// take waits for the next window, the oldest events first; nil when the emitter
// stops and only the spool, or nothing, is left.
func (e *Emitter) take() *window {
	for {
		e.mu.Lock()
		switch {
		case e.spooling && e.stopping:
			e.mu.Unlock()
			return nil // the next process drains it
		case e.spooling:
			e.mu.Unlock()
			if w := e.takeSpool(); w != nil {
				return w
			}
			continue
		case len(e.queue) > 0:
			if wait := e.linger(); wait > 0 {
				e.mu.Unlock()
				e.pause(wait, e.wake)
				continue
			}
			w := e.takeQueue()
			e.mu.Unlock()
			return w
		case e.stopping:
			e.mu.Unlock()
			return nil
		}
		e.mu.Unlock()
		select {
		case <-e.wake:
		case <-e.stop:
		}
	}
}

// linger is how long the queue may still wait for more. The caller holds mu.
func (e *Emitter) linger() time.Duration {
	if e.stopping || len(e.waiters) > 0 || len(e.queue) >= e.cfg.BatchRecords {
		return 0
	}
	return e.cfg.Linger - time.Since(e.queue[0].since)
}

// pause waits, for less if the emitter stops or one of the signals comes.
func (e *Emitter) pause(d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-e.stop:
	}
}

// takeQueue takes a window from the queue. The caller holds mu.
func (e *Emitter) takeQueue() *window {
	n := min(len(e.queue), e.cfg.BatchRecords)
	w := &window{items: slices.Clone(e.queue[:n]), taken: n, lastTicket: e.queue[n-1].ticket}
	clear(e.queue[:n]) // the array lives on
	e.queue = e.queue[n:]
	for i := range w.items {
		e.queueBytes -= w.items[i].bytes()
	}
	e.window = w
	e.madeRoom()
	return w
}

// takeSpool takes a window from the spool; nil if it turns out to be drained,
// or cannot be read now.
func (e *Emitter) takeSpool() *window {
	records, err := e.spool.read(e.cfg.BatchRecords, 4*e.cfg.BatchBytes)
	if err != nil {
		e.log.Error("spool cannot be read, trying again", "error", err)
		e.pause(time.Second, nil)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(records) > 0 {
		e.window = &window{fromSpool: true, items: make([]item, len(records)), taken: len(records)}
		for i := range records {
			e.window.items[i].spoolRecord = records[i]
		}
		return e.window
	}
	if left, _ := e.spool.pending(); left == 0 {
		// Nothing can have been added: that needs mu.
		e.spooling = false
		e.settle(e.accepted)
		e.madeRoom()
	}
	return nil
}

// deliver sends a window until Kafka has it. It returns false if the emitter
// stops first; what is left of the window stays in e.window, or in the spool.
func (e *Emitter) deliver(ctx context.Context, w *window) bool {
	pauses := &backoff.ExponentialBackOff{
		InitialInterval: minBackoff, RandomizationFactor: 0.3, Multiplier: 2, MaxInterval: e.cfg.MaxBackoff,
	}
	for left := w.items; ; {
		left = e.dropOld(w, left)
		if len(left) > 0 {
			left = e.account(w, e.kafka.send(ctx, left))
		}
		if len(left) == 0 {
			e.finish(w)
			return true
		}
		switch {
		case ctx.Err() != nil || (e.spool != nil && e.hasStopped()):
			return false
		case e.hasStopped():
			// Without a spool the only chance is to try on until Close gives up.
			select {
			case <-time.After(minBackoff):
			case <-ctx.Done():
			}
		default:
			e.pause(pauses.NextBackOff(), nil)
		}
	}
}

func (e *Emitter) hasStopped() bool {
	select {
	case <-e.stop:
		return true
	default:
		return false
	}
}

// dropOld gives those items of a window up that waited in the spool for too
// long, and returns the others.
func (e *Emitter) dropOld(w *window, items []item) []item {
	now := e.ages.look()
	tooOld := func(it item) bool { return e.ages.expired(&it.spoolRecord, now) }

	e.mu.Lock()
	if !(w.fromSpool || w.spilled) || !slices.ContainsFunc(items, tooOld) {
		e.mu.Unlock()
		return items
	}
	var old []refusal
	var left []item
	for _, it := range items {
		if !tooOld(it) {
			left = append(left, it)
			continue
		}
		old = append(old, refusal{it, ErrExpired})
		e.tell(it.ticket, ErrExpired)
	}
	e.counters.Expired += uint64(len(old))
	w.items = left
	e.mu.Unlock()

	e.log.Error("events waited in the spool for too long, they are given up", "events", len(old))
	e.dropped(old)
	return left
}

// account notes what became of a window's items, and returns those that are to
// be sent again.
func (e *Emitter) account(w *window, res sendResult) []item {
	e.mu.Lock()
	e.counters.Acked += uint64(res.acked)
	e.counters.Rejected += uint64(len(res.refused))
	for _, r := range res.refused {
		e.tell(r.item.ticket, r.err)
	}
	w.items = res.left
	wasUp := e.counters.KafkaUp
	e.counters.KafkaUp = res.err == nil
	if res.err != nil {
		e.counters.Retries++
	}
	e.mu.Unlock()

	switch {
	case wasUp && res.err != nil:
		e.log.Warn("kafka does not take events, they wait", "topic", e.cfg.Topic, "error", res.err)
	case !wasUp && res.err == nil:
		e.log.Info("kafka takes events again", "topic", e.cfg.Topic)
	}
	for _, r := range res.refused {
		e.log.Error("an event is given up", "bytes", r.item.bytes(), "error", r.err)
	}
	e.dropped(res.refused)
	return res.left
}

// dropped hands events that were given up to the caller.
func (e *Emitter) dropped(given []refusal) {
	if e.deps.OnDrop == nil {
		return
	}
	for _, r := range given {
		e.deps.OnDrop(r.item.value, r.err)
	}
}

// finish gives a window back that is done with.
func (e *Emitter) finish(w *window) {
	e.mu.Lock()
	e.window = nil
	if !w.fromSpool {
		e.settle(w.lastTicket)
	}
	e.mu.Unlock()

	var err error
	switch {
	case w.fromSpool:
		err = e.spool.commit(w.taken)
	case w.spilled: // nobody changes it any more
		err = e.spool.skipTo(w.spoolEnd, w.spoolN)
	default:
		return
	}
	if err != nil {
		e.log.Error("drained events stay in the spool and may be sent again", "error", err)
	}
	e.mu.Lock()
	e.madeRoom()
	e.mu.Unlock()
}

// settle tells everybody who waits for a ticket up to this one. The caller
// holds mu.
func (e *Emitter) settle(ticket uint64) {
	e.settled = max(e.settled, ticket)
	e.waiters = slices.DeleteFunc(e.waiters, func(w waiter) bool {
		if w.ticket > e.settled {
			return false
		}
		w.done <- nil
		return true
	})
}

// tell gives those who wait for one ticket its own error. The caller holds mu.
func (e *Emitter) tell(ticket uint64, err error) {
	if ticket == 0 {
		return
	}
	e.waiters = slices.DeleteFunc(e.waiters, func(w waiter) bool {
		if w.ticket != ticket || w.flush {
			return false
		}
		w.done <- err
		return true
	})
}

// madeRoom wakes who waits in Emit. The caller holds mu.
func (e *Emitter) madeRoom() {
	close(e.room)
	e.room = make(chan struct{})
}
