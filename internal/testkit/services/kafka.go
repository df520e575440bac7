package services

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// kafkaReadyWithin is generous: two cores that also run other tests.
const kafkaReadyWithin = 90 * time.Second

// Kafka is a single node of Apache Kafka in KRaft mode. Its address stays over restarts.
type Kafka struct {
	Addr   string
	server *server
	java   []string // command line without the main class
	dir    string
}

// StartKafka makes a new cluster in dir and waits until it takes connections.
func StartKafka(ctx context.Context, jars Jars, dir string) (*Kafka, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, errors.New("the tests need Apache Kafka, which needs Java 17: install it (Debian: apt-get install openjdk-17-jre-headless)")
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	k := &Kafka{
		Addr: fmt.Sprintf("127.0.0.1:%d", ports[0]),
		// A server for tests: small, and quick to start.
		java: []string{java, "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(jars.Dir, "*")},
		dir:  dir,
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(k.properties(), []byte(properties(k.Addr, fmt.Sprintf("127.0.0.1:%d", ports[1]), filepath.Join(dir, "data"))), 0o600); err != nil {
		return nil, err
	}
	id := make([]byte, 16)
	rand.Read(id) // never fails
	// With "=": one id in 64 begins with a dash, and would be taken for another option.
	format := k.command(ctx, "kafka.tools.StorageTool", "format", "--standalone", "--cluster-id="+base64.RawURLEncoding.EncodeToString(id), "-c", k.properties())
	if out, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format the storage of Kafka: %w:\n%s", err, out)
	}
	return k, k.Start(ctx)
}

func (k *Kafka) properties() string { return filepath.Join(k.dir, "server.properties") }

func (k *Kafka) command(ctx context.Context, class string, args ...string) *exec.Cmd {
	line := append(append([]string{}, k.java[1:]...), class)
	return exec.CommandContext(ctx, k.java[0], append(line, args...)...)
}

// Start starts the node, again after Stop or Kill.
func (k *Kafka) Start(ctx context.Context) error {
	// Not bound to ctx: the node lives until Stop.
	s, err := launch("Kafka", k.command(context.WithoutCancel(ctx), "kafka.Kafka", k.properties()), filepath.Join(k.dir, "kafka.log"), -1, -1)
	if err != nil {
		return err
	}
	k.server = s
	if err := s.ready(ctx, kafkaReadyWithin, canConnect(k.Addr)); err != nil {
		s.kill()
		return err
	}
	return nil
}

// Stop shuts the node down.
func (k *Kafka) Stop() error { return k.server.stop(syscall.SIGTERM) }

// Kill is kill -9.
func (k *Kafka) Kill() { k.server.kill() }

func properties(addr, controller, data string) string {
	return strings.Join([]string{
		"process.roles=broker,controller",
		"node.id=1",
		"controller.quorum.bootstrap.servers=" + controller,
		"listeners=PLAINTEXT://" + addr + ",CONTROLLER://" + controller,
		"advertised.listeners=PLAINTEXT://" + addr + ",CONTROLLER://" + controller,
		"controller.listener.names=CONTROLLER",
		"log.dirs=" + data,
		"auto.create.topics.enable=false",
		"num.partitions=4",
		"default.replication.factor=1",
		"offsets.topic.replication.factor=1",
		"offsets.topic.num.partitions=4",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"transaction.state.log.num.partitions=4",
		"share.coordinator.state.topic.replication.factor=1",
		"share.coordinator.state.topic.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
		// Tests go through many topics.
		"log.cleaner.dedupe.buffer.size=4194304",
		"log.index.size.max.bytes=1048576",
		"delete.topic.enable=true",
		"log.segment.delete.delay.ms=1000",
		"log.cleaner.backoff.ms=500",
		"",
	}, "\n")
}
