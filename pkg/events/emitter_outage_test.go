package events_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/events"
)

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// TestEmitterBrokerKilled kills the broker again and again under load: every
// accepted event arrives, each user's in order, and Emit never waits.
func TestEmitterBrokerKilled(t *testing.T) {
	b := newBroker(t)
	noLeaks(t)
	cfg := withSpool(config(b.addr, "agent.events"), t.TempDir())
	e := newEmitter(t, cfg, events.EmitterDeps{})

	stop := make(chan struct{})
	emitted := make(chan map[string]int)
	var slowest atomic.Int64
	go func() { // ends when stop is closed
		n := make(map[string]int)
		defer func() { emitted <- n }()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			for u := range 5 {
				user := fmt.Sprintf("user-%d", u)
				start := time.Now()
				if err := e.Emit(context.Background(), numbered(user, n[user])); err != nil {
					t.Errorf("Emit: %v", err)
					return
				}
				slowest.Store(max(slowest.Load(), int64(time.Since(start))))
				n[user]++
			}
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	for range 3 {
		acked := e.Stats().Acked
		eventually(t, "events are acknowledged", func() bool { return e.Stats().Acked > acked+200 })
		b.kill(t)
		eventually(t, "events go to the spool", func() bool { s := e.Stats(); return s.InSpool > 500 && !s.KafkaUp })
		b.start(t)
		eventually(t, "the spool is drained", func() bool { s := e.Stats(); return s.InSpool < 50 && s.KafkaUp })
	}
	close(stop)
	want := <-emitted
	closeEmitter(t, e)
	s := e.Stats()
	if s.InMemory != 0 || s.InSpool != 0 {
		// What was left at Close is in the spool: the next emitter sends it.
		e = newEmitter(t, cfg, events.EmitterDeps{})
		eventually(t, "the rest is sent", func() bool { return e.Stats().InSpool == 0 })
		closeEmitter(t, e)
	}
	twice := checkDelivered(t, readTopic(t, b.addr, "agent.events"), want)
	t.Logf("%d events, %d through the spool, %d twice, slowest Emit %s", s.Accepted, s.Spooled, twice, time.Duration(slowest.Load()))
	if slow := time.Duration(slowest.Load()); slow > 2*time.Second {
		t.Errorf("an Emit took %s", slow)
	}
}

// TestEmitterOutages cuts the network, and makes it a black hole, in front of any
// broker.
func TestEmitterOutages(t *testing.T) {
	kafkas(t, func(t *testing.T, addr, topic string) {
		noLeaks(t)
		wires := newNetwork()
		cfg := withSpool(config(addr, topic), t.TempDir())
		cfg.RequestTimeout = 500 * time.Millisecond
		e := newEmitter(t, cfg, events.EmitterDeps{Dial: wires.dial})
		n := 0
		emit := func(count int) {
			t.Helper()
			for range count {
				start := time.Now()
				if err := e.Emit(context.Background(), numbered("ann", n)); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(start); d > 2*time.Second {
					t.Errorf("Emit took %s", d)
				}
				n++
			}
		}
		emit(100)
		for _, outage := range []func(bool){wires.setCut, wires.setHole, wires.setCut} {
			acked := e.Stats().Acked
			eventually(t, "events are acknowledged", func() bool { return e.Stats().Acked > acked || e.Stats().InMemory == 0 })
			outage(true)
			emit(300)
			// EmitSync and Flush are content with the spool.
			if err := e.EmitSync(testContext(t), numbered("ann", n)); err != nil {
				t.Fatal(err)
			}
			n++
			emit(300)
			if err := e.Flush(testContext(t)); err != nil {
				t.Fatal(err)
			}
			if s := e.Stats(); s.InSpool < 300 || s.InMemory != 0 {
				t.Errorf("after Flush while Kafka is away: %+v", s)
			}
			outage(false)
			emit(100)
			eventually(t, "the spool is drained", func() bool { return e.Stats().InSpool == 0 })
		}
		closeEmitter(t, e)
		twice := checkDelivered(t, readTopic(t, addr, topic), map[string]int{"ann": n})
		t.Logf("%d events, %d twice", n, twice)
	})
}

// TestEmitterCloseLeavesTheSpool: Close while Kafka is away returns soon, and the
// next emitter sends what was left.
func TestEmitterCloseLeavesTheSpool(t *testing.T) {
	b := newBroker(t)
	noLeaks(t)
	wires := newNetwork()
	wires.setCut(true)
	cfg := withSpool(config(b.addr, "agent.events"), t.TempDir())
	cfg.SpoolAfter = time.Hour // nothing goes to the spool before Close
	e := newEmitter(t, cfg, events.EmitterDeps{Dial: wires.dial})
	for n := range 100 {
		if err := e.Emit(t.Context(), numbered("ann", n)); err != nil {
			t.Fatal(err)
		}
	}
	if s := e.Stats(); s.InSpool != 0 {
		t.Fatalf("%+v", s)
	}
	start := time.Now()
	closeEmitter(t, e)
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("Close took %s", d)
	}
	if s := e.Stats(); s.InSpool != 100 {
		t.Fatalf("%+v", s)
	}
	e = newEmitter(t, cfg, events.EmitterDeps{})
	if s := e.Stats(); s.Recovered != 100 {
		t.Errorf("%+v", s)
	}
	for n := 100; n < 150; n++ {
		if err := e.EmitSync(testContext(t), numbered("ann", n)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the spool is drained", func() bool { return e.Stats().InSpool == 0 })
	closeEmitter(t, e)
	checkDelivered(t, readTopic(t, b.addr, "agent.events"), map[string]int{"ann": 150})
}

// TestEmitterSpoolFull fills the spool; what was accepted arrives, what was
// refused does not.
func TestEmitterSpoolFull(t *testing.T) {
	b := newBroker(t)
	noLeaks(t)
	wires := newNetwork()
	wires.setCut(true)
	cfg := withSpool(config(b.addr, "agent.events"), t.TempDir())
	cfg.QueueBytes = 2 << 20
	cfg.SpoolMaxBytes = 8 << 20
	e := newEmitter(t, cfg, events.EmitterDeps{Dial: wires.dial})
	start := time.Now()
	accepted, err := fill(t, e)
	if !errors.Is(err, events.ErrSpoolFull) {
		t.Fatal(err)
	}
	t.Logf("%d events in %s", accepted, time.Since(start))
	if size := dirSize(t, cfg.SpoolDir); size > cfg.SpoolMaxBytes+4096 {
		t.Errorf("the spool has %d bytes, allowed are %d", size, cfg.SpoolMaxBytes)
	}
	for range 10 {
		start := time.Now()
		if err := e.Emit(context.Background(), numbered("bob", 0)); !errors.Is(err, events.ErrSpoolFull) {
			t.Fatalf("Emit to a full spool: %v", err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("the refusal took %s", d)
		}
	}
	wires.setCut(false)
	eventually(t, "there is room again", func() bool { return e.Emit(context.Background(), numbered("ann", accepted)) == nil })
	accepted++
	eventually(t, "the spool is drained", func() bool { s := e.Stats(); return s.InSpool == 0 && s.InMemory == 0 })
	closeEmitter(t, e)
	checkDelivered(t, readTopic(t, b.addr, "agent.events"), map[string]int{"ann": accepted, "bob": 0})
}

func dirSize(t *testing.T, dir string) (size int64) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	return size
}

// TestEmitterExpires: events older than SpoolMaxAge are given up and told.
func TestEmitterExpires(t *testing.T) {
	b := newBroker(t)
	noLeaks(t)
	wires := newNetwork()
	wires.setCut(true)
	cfg := withSpool(config(b.addr, "agent.events"), t.TempDir())
	cfg.SpoolMaxAge = time.Second
	var dropped atomic.Int64
	deps := events.EmitterDeps{Dial: wires.dial, OnDrop: func(_ []byte, err error) {
		if !errors.Is(err, events.ErrExpired) {
			t.Errorf("dropped for %v", err)
		}
		dropped.Add(1)
	}}
	e := newEmitter(t, cfg, deps)
	for range 20 {
		if err := e.Emit(t.Context(), numbered("old", 0)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "old events are given up while Kafka is away", func() bool { return e.Stats().Expired == 20 })
	wires.setCut(false)
	if err := e.Emit(t.Context(), numbered("ann", 0)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "new events are sent", func() bool { return e.Stats().Acked == 1 })
	closeEmitter(t, e)
	if dropped.Load() != 20 {
		t.Errorf("%d events were handed to OnDrop", dropped.Load())
	}
	checkDelivered(t, readTopic(t, b.addr, "agent.events"), map[string]int{"ann": 1, "old": 0})
}

// runAgent is the child: an agent whose Kafka is away, which says what was
// accepted.
func runAgent(spool, addr string) {
	cfg := withSpool(config(addr, "agent.events"), spool)
	cfg.SpoolAfter = 10 * time.Millisecond
	e, err := events.NewEmitter(cfg, events.EmitterDeps{})
	if err != nil {
		fmt.Println("refused", err)
		os.Exit(1)
	}
	for n := 0; ; n++ {
		// The first one starts the spool; from then on Emit writes there.
		emit := e.Emit
		if n == 0 {
			emit = e.EmitSync
		}
		if err := emit(context.Background(), numbered("ann", n)); err != nil {
			panic(err)
		}
		fmt.Println("accepted", n)
	}
}

// TestEmitterKilled kills an agent with kill -9 while its events go to the spool,
// some times over. What Emit had accepted arrives.
func TestEmitterKilled(t *testing.T) {
	b := newBroker(t)
	for round := range 5 {
		dir := t.TempDir()
		cmd, lines := child(t, "agent", dir, "127.0.0.1:1")
		accepted := -1
		for lines.Scan() {
			n, err := strconv.Atoi(lastWord(lines.Text()))
			if err != nil {
				t.Fatal(lines.Text())
			}
			accepted = n
			if n == 500+round*777 {
				break
			}
		}
		if round == 0 {
			// Meanwhile the directory is taken.
			_, err := events.NewEmitter(withSpool(config(b.addr, "agent.events"), dir), events.EmitterDeps{})
			if !errors.Is(err, events.ErrSpoolLocked) {
				t.Fatalf("a second process on one spool: %v", err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it said before it died
			n, err := strconv.Atoi(lastWord(lines.Text()))
			if err != nil {
				t.Fatal(lines.Text())
			}
			accepted = n
		}
		_ = cmd.Wait()

		topic := newTopic(t, b.addr, nil)
		wrong := withSpool(config(b.addr, topic), dir)
		wrong.SpoolKey = make([]byte, 32)
		if _, err := events.NewEmitter(wrong, events.EmitterDeps{}); !errors.Is(err, events.ErrSpoolKey) {
			t.Fatalf("with another key: %v", err)
		}
		e := newEmitter(t, withSpool(config(b.addr, topic), dir), events.EmitterDeps{})
		recovered := int(e.Stats().Recovered)
		if recovered < accepted+1 {
			t.Errorf("%d events were accepted, %d are in the spool", accepted+1, recovered)
		}
		eventually(t, "the spool is drained", func() bool { return e.Stats().InSpool == 0 })
		closeEmitter(t, e)
		checkDelivered(t, readTopic(t, b.addr, topic), map[string]int{"ann": recovered})
	}
}
