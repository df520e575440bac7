package events

import "time"

// spill moves everything in memory to the spool, what is on its way first, and
// lets every later event follow. It is all or nothing. The caller holds mu;
// there is a spool, and it is empty.
func (e *Emitter) spill() error {
	var records []spoolRecord
	if e.window != nil { // it came out of the queue: else spooling would be on
		for i := range e.window.items {
			records = append(records, e.window.items[i].spoolRecord)
		}
	}
	onItsWay := len(records)
	for i := range e.queue {
		records = append(records, e.queue[i].spoolRecord)
	}
	if len(records) == 0 {
		e.spooling = true
		return nil
	}
	end, err := e.spool.append(records...)
	if err != nil {
		return err
	}
	if onItsWay > 0 {
		for i := range records[onItsWay:] {
			end.offset -= int64(records[onItsWay+i].frameBytes())
			end.index--
		}
		e.window.spilled, e.window.spoolN, e.window.spoolEnd = true, onItsWay, end
	}
	e.counters.Spooled += uint64(len(records))
	e.queue, e.queueBytes = nil, 0
	e.spooling = true
	signal(e.wake)
	return nil
}

// keep is the goroutine that moves events to the spool that waited for too long
// in memory, and syncs the spool.
func (e *Emitter) keep() {
	defer close(e.syncer)
	if e.spool == nil {
		return
	}
	ticker := time.NewTicker(e.cfg.SpoolSyncEvery)
	defer ticker.Stop()
	for {
		select {
		case <-e.halt:
			return
		case <-ticker.C:
		case <-e.kick:
		}
		e.spillLate()
		e.syncSpool()
	}
}

// spillLate spills if the oldest event in memory is older than SpoolAfter.
func (e *Emitter) spillLate() {
	e.mu.Lock()
	if e.spooling {
		e.mu.Unlock()
		return
	}
	isLate := e.window != nil && len(e.window.items) > 0 && time.Since(e.window.items[0].since) > e.cfg.SpoolAfter ||
		len(e.queue) > 0 && time.Since(e.queue[0].since) > e.cfg.SpoolAfter
	var err error
	if isLate {
		err = e.spill()
	}
	failed := err != nil
	changed := failed != e.spillFails
	e.spillFails = failed
	e.mu.Unlock()
	if changed && failed {
		e.log.Error("spool cannot be written, events stay in memory", "error", err)
	}
}

// syncSpool makes durable what is in the spool, and tells those who wait for
// it.
func (e *Emitter) syncSpool() {
	e.mu.Lock()
	spooling, ticket := e.spooling, e.accepted
	e.mu.Unlock()
	if !spooling {
		return
	}
	if err := e.spool.sync(); err != nil {
		return // logged there; who waits goes on waiting, for Kafka
	}
	// While spooling is on, nothing is in memory alone.
	e.mu.Lock()
	e.settle(ticket)
	e.mu.Unlock()
}
