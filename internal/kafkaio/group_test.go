package kafkaio_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/agentaudit/agentaudit/internal/child/childtest"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

const groupPartitions = 4

// crowd is a group under test, with a producer that goes on all the time.
type crowd struct {
	t           *testing.T
	addr, topic string
	sink        *sink
	stop        func()
	produced    atomic.Int64
}

func newCrowd(t *testing.T, addr string) *crowd {
	c := &crowd{t: t, addr: addr, topic: testkit.Topic(t, addr, groupPartitions), sink: newSink(t)}
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		defer client.Close()
		for i := 0; ctx.Err() == nil; i++ {
			var records []*kgo.Record
			for p := range groupPartitions {
				for j := range 5 {
					records = append(records, &kgo.Record{Topic: c.topic, Partition: int32(p), Value: fmt.Appendf(nil, "%d/%d some content", p, 5*i+j)})
				}
			}
			// Not bound to ctx, so that all that was begun is counted.
			if err := client.ProduceSync(context.WithoutCancel(ctx), records...).FirstErr(); err != nil {
				t.Errorf("produce: %v", err)
				return
			}
			c.produced.Add(int64(len(records)))
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	c.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(c.stop)
	return c
}

func (c *crowd) config(name string) memberConfig {
	return memberConfig{Name: name, Broker: c.addr, Sink: c.sink.URL, Topic: c.topic, Group: c.topic}
}

// join starts a member in this process and returns what makes it leave.
func (c *crowd) join(name string) (leave func()) {
	ctx, cancel := context.WithCancel(c.t.Context())
	done := make(chan error, 1)
	go func() { done <- runMember(ctx, c.config(name), testLogger(c.t)) }()
	leave = sync.OnceFunc(func() {
		began := time.Now()
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("member %s: %v", name, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			c.t.Errorf("member %s took %v to leave", name, took)
		}
	})
	c.t.Cleanup(leave)
	return leave
}

// process starts a member in a process of its own.
func (c *crowd) process(name string) *childtest.Proc {
	p, err := childtest.Launch("kafkaio-member", c.t.TempDir(), func(string) any { return c.config(name) })
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		p.Kill()
		if c.t.Failed() {
			c.t.Logf("log of member %s:\n%s", name, p.Log())
		}
	})
	return p
}

// owns waits until members work on these numbers of partitions.
func (c *crowd) owns(within time.Duration, want map[string]int) {
	c.t.Helper()
	testkit.Eventually(c.t, within, func() bool {
		for member, n := range want {
			if c.sink.owned(member) != n {
				return false
			}
		}
		return true
	}, fmt.Sprintf("members work on %v partitions", want))
}

// flows waits until more records arrive than were produced by now.
func (c *crowd) flows() {
	c.t.Helper()
	now := int(c.produced.Load())
	testkit.Eventually(c.t, 30*time.Second, func() bool { return c.sink.total() > now }, "records flow")
}

// exact stops the producer and checks that each record arrived once.
func (c *crowd) exact() {
	c.t.Helper()
	c.stop()
	want := int(c.produced.Load())
	testkit.Eventually(c.t, 60*time.Second, func() bool { return c.sink.total() >= want }, "all records arrive")
	c.sink.mu.Lock()
	defer c.sink.mu.Unlock()
	if len(c.sink.wrong) > 0 {
		c.t.Errorf("gaps or doubles: %v", c.sink.wrong)
	}
	total := 0
	for _, n := range c.sink.count {
		total += n
	}
	if total != want {
		c.t.Errorf("%d records were produced and %d arrived", want, total)
	}
	c.t.Logf("%d records, %d lost compare-and-swaps", total, c.sink.lost)
}

func TestGroupJoinsAndLeaves(t *testing.T) {
	t.Parallel()
	testkit.Kafka(t, func(t *testing.T, addr string) {
		t.Parallel()
		c := newCrowd(t, addr)
		leaveA := c.join("a")
		c.owns(20*time.Second, map[string]int{"a": 4})
		c.flows()
		leaveB := c.join("b")
		c.owns(20*time.Second, map[string]int{"a": 2, "b": 2})
		c.flows()
		leaveC := c.join("c")
		testkit.Eventually(t, 20*time.Second, func() bool {
			return c.sink.owned("c") == 1 && c.sink.owned("a")+c.sink.owned("b") == 3
		}, "three members share four partitions")
		c.flows()
		leaveA()
		// A clean leave does not wait for the session to time out.
		c.owns(5*time.Second, map[string]int{"b": 2, "c": 2})
		c.flows()
		leaveB()
		c.owns(5*time.Second, map[string]int{"c": 4})
		c.flows()
		c.exact()
		leaveC()
		// What was committed for lag tools is where the sink is.
		committed := commits(t, addr, c.topic)
		for p := range groupPartitions {
			if committed[p] != c.sink.next[p] {
				t.Errorf("partition %d: committed %d, sink at %d", p, committed[p], c.sink.next[p])
			}
		}
	})
}

// commits reads what a group committed for the topic of its name.
func commits(t *testing.T, addr, group string) map[int]int64 {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	one := kmsg.NewOffsetFetchRequestGroup()
	one.Group = group
	topic := kmsg.NewOffsetFetchRequestTopic()
	topic.Topic = group
	groupTopic := kmsg.NewOffsetFetchRequestGroupTopic()
	groupTopic.Topic = group
	for p := range groupPartitions {
		topic.Partitions = append(topic.Partitions, int32(p))
		groupTopic.Partitions = append(groupTopic.Partitions, int32(p))
	}
	req.Topics = append(req.Topics, topic)
	one.Topics = append(one.Topics, groupTopic)
	req.Groups = append(req.Groups, one)
	res, err := req.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	offsets := map[int]int64{}
	for _, tp := range res.Topics {
		for _, p := range tp.Partitions {
			offsets[int(p.Partition)] = p.Offset
		}
	}
	for _, g := range res.Groups {
		for _, tp := range g.Topics {
			for _, p := range tp.Partitions {
				offsets[int(p.Partition)] = p.Offset
			}
		}
	}
	return offsets
}

func TestGroupMemberIsKilled(t *testing.T) {
	t.Parallel()
	testkit.Kafka(t, func(t *testing.T, addr string) {
		t.Parallel()
		c := newCrowd(t, addr)
		c.join("a")
		p := c.process("p")
		c.owns(20*time.Second, map[string]int{"a": 2, "p": 2})
		c.flows()
		p.Kill()
		c.owns(20*time.Second, map[string]int{"a": 4}) // after the session has timed out
		c.flows()
		c.exact()
	})
}

// A member that is stopped beyond its session and wakes up ends its works at once.
func TestGroupMemberIsStopped(t *testing.T) {
	t.Parallel()
	testkit.Kafka(t, func(t *testing.T, addr string) {
		t.Parallel()
		c := newCrowd(t, addr)
		c.join("a")
		p := c.process("p")
		c.owns(20*time.Second, map[string]int{"a": 2, "p": 2})
		c.flows()
		if err := p.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		c.owns(20*time.Second, map[string]int{"a": 4})
		c.flows()
		began := time.Now()
		if err := p.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, 10*time.Second, func() bool { return c.sink.gaveUp("p").After(began) }, "the sleeper gives up")
		if took := c.sink.gaveUp("p").Sub(began); took > time.Second {
			t.Errorf("the sleeper worked on for %v", took)
		}
		c.owns(30*time.Second, map[string]int{"a": 2, "p": 2}) // it comes back
		c.flows()
		c.exact()
	})
}

// newGroup makes a group of one member that waits in its works.
func newGroup(t *testing.T, c *kafkaio.Client, id, topic string, work func(ctx context.Context, a kafkaio.Assignment) error) (g *kafkaio.Group, stop func()) {
	t.Helper()
	g, err := c.NewGroup(kafkaio.GroupConfig{ID: id, Topics: []string{topic}, WatchPartitionsEvery: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, work) }()
	stop = sync.OnceFunc(func() {
		cancel()
		began := time.Now()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("Run took %v to end", took)
		}
	})
	t.Cleanup(stop)
	return g, stop
}

func TestGroupParksAPartitionWhoseWorkReturns(t *testing.T) {
	t.Parallel()
	testkit.Kafka(t, func(t *testing.T, addr string) {
		t.Parallel()
		topic := testkit.Topic(t, addr, 3)
		registry := prometheus.NewRegistry()
		c := newClient(t, addr, func(_ *kafkaio.Config, deps *kafkaio.Deps) { deps.Metrics = registry })
		var mu sync.Mutex
		runs := map[int]int{}
		var ended atomic.Int32
		g, stop := newGroup(t, c, topic, topic, func(ctx context.Context, a kafkaio.Assignment) error {
			mu.Lock()
			runs[a.Partition]++
			mu.Unlock()
			switch a.Partition {
			case 0:
				return errors.New("this partition cannot go on")
			case 1:
				return nil
			}
			<-ctx.Done()
			ended.Add(1)
			return nil
		})
		gauges := func(assigned, parked int) bool {
			want := fmt.Sprintf(`
# HELP agentaudit_kafka_group_assigned_partitions Partitions assigned to this member.
# TYPE agentaudit_kafka_group_assigned_partitions gauge
agentaudit_kafka_group_assigned_partitions{group="%[1]s"} %[2]d
# HELP agentaudit_kafka_group_parked_partitions Assigned partitions whose work has stopped until the next generation.
# TYPE agentaudit_kafka_group_parked_partitions gauge
agentaudit_kafka_group_parked_partitions{group="%[1]s"} %[3]d
`, topic, assigned, parked)
			return testutil.GatherAndCompare(registry, reader(want), "agentaudit_kafka_group_assigned_partitions", "agentaudit_kafka_group_parked_partitions") == nil
		}
		testkit.Eventually(t, 20*time.Second, func() bool { return gauges(3, 2) }, "two of three partitions are parked")
		if g.Assigned() != 3 || ended.Load() != 0 {
			t.Errorf("%d partitions, %d works ended", g.Assigned(), ended.Load())
		}
		// Another generation tries again.
		testkit.AddPartitions(t, addr, topic, 5)
		testkit.Eventually(t, 20*time.Second, func() bool { return gauges(5, 2) }, "the new partitions are assigned")
		mu.Lock()
		if runs[0] != 2 || runs[1] != 2 || runs[2] != 2 || runs[3] != 1 || runs[4] != 1 {
			t.Errorf("works ran %v times", runs)
		}
		mu.Unlock()
		stop()
		if !gauges(0, 0) || g.Assigned() != 0 || ended.Load() != 4 {
			t.Errorf("after the end: %d partitions, %d works ended", g.Assigned(), ended.Load())
		}
	})
}

// A member whose coordinator, or whose topic, comes later joins then.
func TestGroupWaitsForItsCluster(t *testing.T) {
	t.Parallel()
	broker := testkit.EmbeddedKafka(t)
	broker.Kill()
	c := newClient(t, broker.Address, nil)
	var running atomic.Int32
	_, stop := newGroup(t, c, "waits", "later", func(ctx context.Context, _ kafkaio.Assignment) error {
		running.Add(1)
		<-ctx.Done()
		running.Add(-1)
		return nil
	})
	if err := broker.Restart(); err != nil {
		t.Fatal(err)
	}
	testkit.MakeTopic(t, broker.Address, "later", 2)
	testkit.Eventually(t, 30*time.Second, func() bool { return running.Load() == 2 }, "both partitions are worked on")
	broker.Kill()
	testkit.Eventually(t, 30*time.Second, func() bool { return running.Load() == 0 }, "works end without a coordinator")
	if err := broker.Restart(); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 30*time.Second, func() bool { return running.Load() == 2 }, "both partitions are worked on again")
	stop()
}

// Leaving takes less than 10 s even if the cluster does not answer any more.
func TestGroupEndsWithoutItsCluster(t *testing.T) {
	t.Parallel()
	testkit.Kafka(t, func(t *testing.T, addr string) {
		t.Parallel()
		topic := testkit.Topic(t, addr, 2)
		proxy := testkit.NewProxy(t, addr)
		c := newClient(t, addr, func(_ *kafkaio.Config, deps *kafkaio.Deps) { deps.Dial = proxy.Dial })
		g, stop := newGroup(t, c, topic, topic, func(ctx context.Context, _ kafkaio.Assignment) error {
			<-ctx.Done()
			return nil
		})
		testkit.Eventually(t, 20*time.Second, func() bool { return g.Assigned() == 2 }, "partitions are assigned")
		proxy.BlackHole(testkit.ToServer)
		stop()
	})
}

// Nothing is left behind, whenever Run is told to end.
func TestGroupLeaksNothing(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		topic := testkit.Topic(t, addr, 1)
		c := newClient(t, addr, nil)
		for i := range 6 {
			var works atomic.Int32
			_, stop := newGroup(t, c, fmt.Sprint(topic, i), topic, func(ctx context.Context, a kafkaio.Assignment) error {
				a.Commit(7)
				works.Add(1)
				<-ctx.Done()
				return nil
			})
			if i%2 == 0 {
				testkit.Eventually(t, 20*time.Second, func() bool { return works.Load() > 0 }, "the work runs")
			}
			stop()
		}
	})
}
