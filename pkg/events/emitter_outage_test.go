package events_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// TestEmitterBrokerKilled kills the broker again and again under load: every
// accepted event arrives, each user's in order, and Emit never waits.
func TestEmitterBrokerKilled(t *testing.T) {
	b := testkit.EmbeddedKafka(t)
	topic := testkit.Topic(t, b.Address, testPartitions)
	noLeaks(t)
	cfg := withSpool(config(b.Address, topic), t.TempDir())
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
		testkit.Eventually(t, limit, func() bool { return e.Stats().Acked > acked+200 }, "events are acknowledged")
		b.Kill()
		testkit.Eventually(t, limit, func() bool { s := e.Stats(); return s.InSpool > 500 && !s.KafkaUp }, "events go to the spool")
		if err := b.Restart(); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, limit, func() bool { s := e.Stats(); return s.InSpool < 50 && s.KafkaUp }, "the spool is drained")
	}
	close(stop)
	want := <-emitted
	closeEmitter(t, e)
	s := e.Stats()
	if s.InMemory != 0 || s.InSpool != 0 {
		// What was left at Close is in the spool: the next emitter sends it.
		e = newEmitter(t, cfg, events.EmitterDeps{})
		testkit.Eventually(t, limit, func() bool { return e.Stats().InSpool == 0 }, "the rest is sent")
		closeEmitter(t, e)
	}
	twice := checkDelivered(t, readTopic(t, b.Address, topic), want)
	t.Logf("%d events, %d through the spool, %d twice, slowest Emit %s", s.Accepted, s.Spooled, twice, time.Duration(slowest.Load()))
	if slow := time.Duration(slowest.Load()); slow > 4*time.Second {
		t.Errorf("an Emit took %s", slow)
	}
}

// TestEmitterOutages cuts the network, and makes it a black hole, in front of any
// broker.
func TestEmitterOutages(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		topic := testkit.Topic(t, addr, testPartitions)
		wires := testkit.NewProxy(t, addr)
		noLeaks(t)
		cfg := withSpool(config(addr, topic), t.TempDir())
		cfg.RequestTimeout = 500 * time.Millisecond
		e := newEmitter(t, cfg, events.EmitterDeps{Dial: wires.Dial})
		n := 0
		emit := func(count int) {
			t.Helper()
			for range count {
				start := time.Now()
				if err := e.Emit(context.Background(), numbered("ann", n)); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(start); d > 4*time.Second {
					t.Errorf("Emit took %s", d)
				}
				n++
			}
		}
		emit(100)
		outages := []func(){
			wires.Refuse,
			func() { wires.BlackHole(testkit.ToServer) },
			// Requests are carried out, the answers are lost: their events come twice.
			func() { wires.BlackHole(testkit.ToClient) },
		}
		for _, outage := range outages {
			acked := e.Stats().Acked
			testkit.Eventually(t, limit, func() bool { return e.Stats().Acked > acked || e.Stats().InMemory == 0 }, "events are acknowledged")
			outage()
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
			testkit.Eventually(t, limit, func() bool { return !e.Stats().KafkaUp }, "the outage is noticed")
			wires.Heal()
			emit(100)
			testkit.Eventually(t, limit, func() bool { return e.Stats().InSpool == 0 }, "the spool is drained")
		}
		closeEmitter(t, e)
		twice := checkDelivered(t, readTopic(t, addr, topic), map[string]int{"ann": n})
		t.Logf("%d events, %d twice", n, twice)
		if twice == 0 {
			t.Error("no event came twice: no answer was lost")
		}
	})
}

// TestEmitterCloseLeavesTheSpool: Close while Kafka is away returns soon, and the
// next emitter sends what was left.
func TestEmitterCloseLeavesTheSpool(t *testing.T) {
	b := testkit.EmbeddedKafka(t)
	topic := testkit.Topic(t, b.Address, testPartitions)
	wires := testkit.NewProxy(t, b.Address)
	wires.Refuse()
	noLeaks(t)
	cfg := withSpool(config(b.Address, topic), t.TempDir())
	cfg.SpoolAfter = time.Hour // nothing goes to the spool before Close
	e := newEmitter(t, cfg, events.EmitterDeps{Dial: wires.Dial})
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
	testkit.Eventually(t, limit, func() bool { return e.Stats().InSpool == 0 }, "the spool is drained")
	closeEmitter(t, e)
	checkDelivered(t, readTopic(t, b.Address, topic), map[string]int{"ann": 150})
}

// TestEmitterSpoolFull fills the spool; what was accepted arrives, what was
// refused does not.
func TestEmitterSpoolFull(t *testing.T) {
	b := testkit.EmbeddedKafka(t)
	topic := testkit.Topic(t, b.Address, testPartitions)
	wires := testkit.NewProxy(t, b.Address)
	wires.Refuse()
	noLeaks(t)
	cfg := withSpool(config(b.Address, topic), t.TempDir())
	cfg.QueueBytes = 2 << 20
	cfg.SpoolMaxBytes = 8 << 20
	e := newEmitter(t, cfg, events.EmitterDeps{Dial: wires.Dial})
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
	wires.Heal()
	testkit.Eventually(t, limit, func() bool { return e.Emit(context.Background(), numbered("ann", accepted)) == nil }, "there is room again")
	accepted++
	testkit.Eventually(t, limit, func() bool { s := e.Stats(); return s.InSpool == 0 && s.InMemory == 0 }, "the spool is drained")
	closeEmitter(t, e)
	checkDelivered(t, readTopic(t, b.Address, topic), map[string]int{"ann": accepted, "bob": 0})
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
	b := testkit.EmbeddedKafka(t)
	topic := testkit.Topic(t, b.Address, testPartitions)
	wires := testkit.NewProxy(t, b.Address)
	wires.Refuse()
	noLeaks(t)
	cfg := withSpool(config(b.Address, topic), t.TempDir())
	cfg.SpoolMaxAge = time.Second
	var dropped atomic.Int64
	deps := events.EmitterDeps{Dial: wires.Dial, OnDrop: func(_ []byte, err error) {
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
	testkit.Eventually(t, limit, func() bool { return e.Stats().Expired == 20 }, "old events are given up while Kafka is away")
	wires.Heal()
	if err := e.Emit(t.Context(), numbered("ann", 0)); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, limit, func() bool { return e.Stats().Acked == 1 }, "new events are sent")
	closeEmitter(t, e)
	if dropped.Load() != 20 {
		t.Errorf("%d events were handed to OnDrop", dropped.Load())
	}
	checkDelivered(t, readTopic(t, b.Address, topic), map[string]int{"ann": 1, "old": 0})
}

// agentEnv makes this test binary an agent with a spool in the directory it names.
const agentEnv = "AGENTAUDIT_TEST_EMITTER_SPOOL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(agentEnv); dir != "" {
		runAgent(dir)
	}
	os.Exit(m.Run())
}

// startAgent starts an agent as a process of its own and returns its lines.
func startAgent(t *testing.T, spool string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), agentEnv+"="+spool)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, bufio.NewScanner(out)
}

// runAgent is an agent whose Kafka is away, and which says what was accepted,
// until it is killed.
func runAgent(spool string) {
	cfg := withSpool(config("127.0.0.1:1", "agent.events"), spool)
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
	b := testkit.EmbeddedKafka(t)
	for round := range 5 {
		dir := t.TempDir()
		cmd, lines := startAgent(t, dir)
		accepted := -1
		for lines.Scan() {
			n, err := strconv.Atoi(strings.TrimPrefix(lines.Text(), "accepted "))
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
			_, err := events.NewEmitter(withSpool(config(b.Address, "agent.events"), dir), events.EmitterDeps{})
			if !errors.Is(err, events.ErrSpoolLocked) {
				t.Fatalf("a second process on one spool: %v", err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it said before it died
			n, err := strconv.Atoi(strings.TrimPrefix(lines.Text(), "accepted "))
			if err != nil {
				t.Fatal(lines.Text())
			}
			accepted = n
		}
		_ = cmd.Wait()

		topic := testkit.Topic(t, b.Address, testPartitions)
		wrong := withSpool(config(b.Address, topic), dir)
		wrong.SpoolKey = make([]byte, 32)
		if _, err := events.NewEmitter(wrong, events.EmitterDeps{}); !errors.Is(err, events.ErrSpoolKey) {
			t.Fatalf("with another key: %v", err)
		}
		e := newEmitter(t, withSpool(config(b.Address, topic), dir), events.EmitterDeps{})
		recovered := int(e.Stats().Recovered)
		if recovered < accepted+1 {
			t.Errorf("%d events were accepted, %d are in the spool", accepted+1, recovered)
		}
		testkit.Eventually(t, limit, func() bool { return e.Stats().InSpool == 0 }, "the spool is drained")
		closeEmitter(t, e)
		checkDelivered(t, readTopic(t, b.Address, topic), map[string]int{"ann": recovered})
	}
}
