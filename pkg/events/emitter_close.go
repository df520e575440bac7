package events

import (
	"context"
	"errors"
	"fmt"
)

// Close refuses further events, sends what is in the queue, and puts what Kafka
// does not take into the spool. Without a spool it goes on trying until ctx ends,
// and then gives the rest up: ErrUnsent. A spool that is not drained stays for
// the next process. Later calls wait for the first one and return nil.
func (e *Emitter) Close(ctx context.Context) error {
	e.mu.Lock()
	first := !e.stopping
	e.stopping = true
	e.mu.Unlock()
	if !first {
		<-e.closed
		return nil
	}
	defer close(e.closed)
	close(e.stop)

	select {
	case <-e.sender:
	case <-ctx.Done():
		e.cancel() // ends a request at once; its outcome is unknown
		<-e.sender
	}
	e.cancel()
	close(e.halt)
	<-e.syncer
	e.kafka.close()

	err := e.leaveRest()
	if e.deps.Metrics != nil {
		e.deps.Metrics.Unregister(collector{e})
	}
	return err
}

// leaveRest puts what is left in memory into the spool and closes it.
func (e *Emitter) leaveRest() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var err error
	if e.spool != nil && !e.spooling {
		err = e.spill()
	}
	if !e.spooling {
		if left := e.inMemory(); left > 0 {
			err = errors.Join(err, fmt.Errorf("%d %w", left, ErrUnsent))
		}
	}
	if e.spool != nil {
		if closeErr := e.spool.close(); closeErr != nil {
			err = errors.Join(err, closeErr)
		}
	}
	if err == nil {
		e.settle(e.accepted)
		return nil
	}
	for _, w := range e.waiters {
		w.done <- err
	}
	e.waiters = nil
	return fmt.Errorf("close the emitter: %w", err)
}

// inMemory counts the events that are nowhere else. The caller holds mu.
func (e *Emitter) inMemory() int {
	n := len(e.queue)
	if e.window != nil && !e.window.fromSpool && !e.window.spilled {
		n += len(e.window.items)
	}
	return n
}
