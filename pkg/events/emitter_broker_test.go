package events_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// childEnv names what the test binary does instead of testing, in a process of
// its own that can be killed.
const childEnv = "AGENTAUDIT_EVENTS_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "broker":
		runBroker(os.Args[1], os.Args[2])
	case "agent":
		runAgent(os.Args[1], os.Args[2])
	default:
		os.Exit(m.Run())
	}
}

// child starts this binary as another program and returns its lines.
func child(t *testing.T, role string, args ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childEnv+"="+role)
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

// broker is an embedded broker on disk, in a process of its own.
type broker struct {
	dir, addr string
	cmd       *exec.Cmd
}

const testPartitions = 4

// runBroker is the child: a broker on a port, until it is killed.
func runBroker(dir, port string) {
	p, err := strconv.Atoi(port)
	if err != nil {
		panic(err)
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(p), kfake.DataDir(dir), kfake.SyncWrites(),
		kfake.SeedTopics(testPartitions, "agent.events"))
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	<-ended
	c.Close()
}

// newBroker starts a broker with the topic agent.events.
func newBroker(t *testing.T) *broker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{dir: t.TempDir(), addr: l.Addr().String()}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b.start(t)
	return b
}

func (b *broker) start(t *testing.T) {
	t.Helper()
	_, port, err := net.SplitHostPort(b.addr)
	if err != nil {
		t.Fatal(err)
	}
	cmd, lines := child(t, "broker", b.dir, port)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatal("the broker did not start")
	}
	b.cmd = cmd
}

// kill ends it as kill -9 does.
func (b *broker) kill(t *testing.T) {
	t.Helper()
	if err := b.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = b.cmd.Wait()
}

// kafkas runs a test on the embedded broker and on the Kafka that
// AGENTAUDIT_TEST_KAFKA names.
func kafkas(t *testing.T, test func(t *testing.T, addr, topic string)) {
	t.Run("embedded", func(t *testing.T) {
		addr := newBroker(t).addr
		test(t, addr, newTopic(t, addr, nil))
	})
	t.Run("kafka", func(t *testing.T) {
		addr := os.Getenv("AGENTAUDIT_TEST_KAFKA")
		if addr == "" {
			if os.Getenv("CI") == "true" {
				t.Fatal("AGENTAUDIT_TEST_KAFKA names no Kafka broker")
			}
			t.Skip("AGENTAUDIT_TEST_KAFKA names no Kafka broker")
		}
		test(t, addr, newTopic(t, addr, nil))
	})
}

// newTopic makes a topic of the test's own.
func newTopic(t *testing.T, addr string, configs map[string]string) string {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic = fmt.Sprintf("t-%d-%d", os.Getpid(), time.Now().UnixNano())
	topic.NumPartitions, topic.ReplicationFactor = testPartitions, 1
	for k, v := range configs {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = k, &v
		topic.Configs = append(topic.Configs, c)
	}
	req.Topics = append(req.Topics, topic)
	req.TimeoutMillis = 10_000
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	res, err := req.RequestWith(ctx, cl)
	if err != nil {
		t.Fatal(err)
	}
	if res.Topics[0].ErrorCode != 0 {
		t.Fatalf("create topic: error %d", res.Topics[0].ErrorCode)
	}
	return topic.Topic
}

// readTopic reads, with another client library, everything that is in a topic
// now, in the order of each partition.
func readTopic(t *testing.T, addr, topic string) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()

	left := endOffsets(t, ctx, cl, topic)
	var all []*kgo.Record
	for done := false; !done; {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("read %s: %v", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			all = append(all, r)
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
		done = len(left) == 0
	}
	return all
}

// endOffsets returns the ends of the partitions that are not empty.
func endOffsets(t *testing.T, ctx context.Context, cl *kgo.Client, topic string) map[int32]int64 {
	t.Helper()
	ends := make(map[int32]int64)
	req := kmsg.NewPtrListOffsetsRequest()
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	for p := range int32(testPartitions) {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p, -1
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	for _, shard := range cl.RequestSharded(ctx, req) {
		if shard.Err != nil {
			t.Fatal(shard.Err)
		}
		for _, rt := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, rp := range rt.Partitions {
				if rp.ErrorCode != 0 {
					t.Fatalf("end of %s/%d: error %d", topic, rp.Partition, rp.ErrorCode)
				}
				if rp.Offset > 0 {
					ends[rp.Partition] = rp.Offset
				}
			}
		}
	}
	return ends
}

// network stands between an emitter and its brokers, and can be cut or become a
// black hole.
type network struct {
	mu    sync.Mutex
	cut   bool
	hole  bool
	conns map[*wire]struct{}
}

func newNetwork() *network { return &network{conns: make(map[*wire]struct{})} }

// wire is a connection that can fall silent.
type wire struct {
	net.Conn
	n    *network
	once sync.Once
	gone chan struct{}
}

func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	cut, hole := n.cut, n.hole
	n.mu.Unlock()
	if cut {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	if hole {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: c, n: n, gone: make(chan struct{})}
	n.mu.Lock()
	n.conns[w] = struct{}{}
	n.mu.Unlock()
	return w, nil
}

// setCut refuses connections and resets those that are open.
func (n *network) setCut(cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut
	if cut {
		for w := range n.conns {
			_ = w.Conn.Close()
		}
		clear(n.conns)
	}
}

// setHole swallows what is sent from now on; answers do not come.
func (n *network) setHole(hole bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hole = hole
}

func (n *network) isHole() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hole
}

// Read reads; in a black hole nothing comes until the connection is closed or
// its deadline passes.
func (w *wire) Read(b []byte) (int, error) {
	for {
		read, err := w.Conn.Read(b)
		if err != nil || !w.n.isHole() {
			return read, err
		}
	}
}

// Write writes, in a black hole to nowhere.
func (w *wire) Write(b []byte) (int, error) {
	if w.n.isHole() {
		return len(b), nil
	}
	return w.Conn.Write(b)
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.gone) })
	return w.Conn.Close()
}

func lastWord(line string) string { return line[strings.LastIndexByte(line, ' ')+1:] }
