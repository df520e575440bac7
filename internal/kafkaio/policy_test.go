package kafkaio_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

// A topic that loses records before its retention ends is told from one that does not.
func TestCheckTopic(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		c := newClient(t, addr, nil)
		for _, configs := range [][]string{nil, {"cleanup.policy", "delete", "retention.ms", "60000"}} {
			if err := c.CheckTopic(t.Context(), testkit.Topic(t, addr, 1, configs...)); err != nil {
				t.Errorf("with %q: %v", configs, err)
			}
		}
		for _, policy := range []string{"compact", "compact,delete", "delete,compact"} {
			topic := testkit.Topic(t, addr, 1, "cleanup.policy", policy)
			err := c.CheckTopic(t.Context(), topic)
			var refused *kafkaio.PolicyError
			if !errors.As(err, &refused) || refused.Topic != topic {
				t.Errorf("%s: got %v", policy, err)
				continue
			}
			for _, part := range []string{topic, "cleanup.policy=" + refused.Policy, "kafka-configs.sh", "--alter", "--entity-name " + topic, "--add-config cleanup.policy=delete"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		}
		if err := c.CheckTopic(t.Context(), "there-is-no-such-topic"); !errors.Is(err, kafkaio.ErrNotTold) || !errors.Is(err, kafkaio.ErrNoTopic) {
			t.Errorf("a topic that does not exist: %v", err)
		}
	})
}

// A user that may read the topic but not ask for its settings is told so at once.
func TestCheckTopicNotAllowed(t *testing.T) {
	allow := func(op kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "topic", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(t.TempDir()), kfake.SeedTopics(1, "topic"), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.User("PLAIN", "reader", "a secret", allow(kmsg.ACLOperationRead), allow(kmsg.ACLOperationDescribe)))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	noLeaks(t)
	c := newClient(t, cluster.ListenAddrs()[0], func(cfg *kafkaio.Config, _ *kafkaio.Deps) {
		cfg.SASL = kafkaio.SASLConfig{Mechanism: "plain", Username: "reader", Password: "a secret"}
	})
	if err := c.CheckTopic(t.Context(), "topic"); !errors.Is(err, kafkaio.ErrNotTold) || !strings.Contains(err.Error(), "topic") {
		t.Errorf("got %v", err)
	}
}
