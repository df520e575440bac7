package testkit

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/agentaudit/agentaudit/internal/broker/brokertest"
)

// Kafka runs a subtest against each broker: "embedded" is the one of "agentaudit up", "real" an Apache Kafka.
func Kafka(t *testing.T, test func(t *testing.T, addr string)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { test(t, EmbeddedKafka(t).Address) })
	t.Run("real", func(t *testing.T) { test(t, RealKafka(t)) })
}

// EmbeddedKafka starts an embedded broker for this test alone, which may kill and restart it.
func EmbeddedKafka(t testing.TB) *brokertest.Proc {
	t.Helper()
	return brokertest.Start(t, brokertest.Options{})
}

// RealKafka returns the address of the Apache Kafka that tests share. Do not stop it: see services.StartKafka for one's own.
func RealKafka(t testing.TB) (addr string) {
	t.Helper()
	addr = os.Getenv("AGENTAUDIT_TEST_KAFKA")
	if addr == "" {
		Missing(t, "no Apache Kafka: AGENTAUDIT_TEST_KAFKA is not set (make test starts one)")
	}
	return addr
}

// Topic makes a topic of a unique name, deleted when the test ends. Configs are name, value, name, value …
func Topic(t testing.TB, addr string, partitions int, configs ...string) (name string) {
	t.Helper()
	name = unique(t, "-")
	MakeTopic(t, addr, name, partitions, configs...)
	t.Cleanup(func() { DeleteTopic(t, addr, name) })
	return name
}

// MakeTopic makes a topic and waits until its partitions take requests.
func MakeTopic(t testing.TB, addr, name string, partitions int, configs ...string) {
	t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, int32(partitions), -1
	for i := 0; i+1 < len(configs); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = configs[i], &configs[i+1]
		topic.Configs = append(topic.Configs, c)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = append(req.Topics, topic)
	withKgo(t, addr, func(ctx context.Context, client *kgo.Client) {
		Eventually(t, 30*time.Second, func() bool {
			res, err := req.RequestWith(ctx, client)
			if err != nil {
				t.Fatalf("make topic %s at %s: %v", name, addr, err)
			}
			err = kerr.ErrorForCode(res.Topics[0].ErrorCode)
			if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) { // its predecessor, still being deleted
				t.Fatalf("make topic %s at %s: %v", name, addr, err)
			}
			return err == nil
		}, "topic "+name+" is made")
		Eventually(t, 30*time.Second, func() bool { return led(ctx, client, name, partitions) }, "topic "+name+" has leaders")
	})
}

// led tells whether every partition of a topic answers. Kafka announces a leader in its metadata a moment before that leader
// takes requests, and a request sent in between is refused with NOT_LEADER_FOR_PARTITION.
func led(ctx context.Context, client *kgo.Client, name string, partitions int) bool {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	one := kmsg.NewListOffsetsRequestTopic()
	one.Topic = name
	for p := range partitions {
		part := kmsg.NewListOffsetsRequestTopicPartition()
		part.Partition, part.Timestamp = int32(p), -1 // the end
		one.Partitions = append(one.Partitions, part)
	}
	req.Topics = append(req.Topics, one)
	res, err := req.RequestWith(ctx, client)
	if err != nil || len(res.Topics) != 1 || len(res.Topics[0].Partitions) != partitions {
		return false
	}
	return !slices.ContainsFunc(res.Topics[0].Partitions, func(p kmsg.ListOffsetsResponseTopicPartition) bool { return p.ErrorCode != 0 })
}

// DeleteTopic deletes a topic; one that is gone is fine.
func DeleteTopic(t testing.TB, addr, name string) {
	t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames = []string{name}
	one := kmsg.NewDeleteTopicsRequestTopic()
	one.Topic = &name
	req.Topics = append(req.Topics, one)
	withKgo(t, addr, func(ctx context.Context, client *kgo.Client) {
		if _, err := req.RequestWith(ctx, client); err != nil {
			t.Logf("delete topic %s: %v", name, err)
		}
	})
}

// DeleteRecords deletes what is before an offset, as retention would.
func DeleteRecords(t testing.TB, addr, topic string, partition int, before int64) {
	t.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	one := kmsg.NewDeleteRecordsRequestTopic()
	one.Topic = topic
	one.Partitions = []kmsg.DeleteRecordsRequestTopicPartition{{Partition: int32(partition), Offset: before}}
	req.Topics = append(req.Topics, one)
	req.TimeoutMillis = 10_000
	withKgo(t, addr, func(ctx context.Context, client *kgo.Client) {
		res, err := req.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(res.Topics[0].Partitions[0].ErrorCode)
		}
		if err != nil {
			t.Fatalf("delete records of %s/%d: %v", topic, partition, err)
		}
	})
}

// AddPartitions raises the number of partitions of a topic.
func AddPartitions(t testing.TB, addr, topic string, count int) {
	t.Helper()
	req := kmsg.NewPtrCreatePartitionsRequest()
	one := kmsg.NewCreatePartitionsRequestTopic()
	one.Topic, one.Count = topic, int32(count)
	req.Topics = append(req.Topics, one)
	req.TimeoutMillis = 10_000
	withKgo(t, addr, func(ctx context.Context, client *kgo.Client) {
		res, err := req.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(res.Topics[0].ErrorCode)
		}
		if err != nil {
			t.Fatalf("add partitions to %s: %v", topic, err)
		}
	})
}

func withKgo(t testing.TB, addr string, do func(ctx context.Context, client *kgo.Client)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second) // the test's own context has ended in cleanups
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	do(ctx, client)
}

// Kcat returns the path of kcat, a client built on librdkafka.
func Kcat(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("kcat")
	if err != nil {
		Missing(t, "kcat is not installed (make test-deps installs it on Debian)")
	}
	return path
}
