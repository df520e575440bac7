package kafkaio_test

import (
	"testing"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

func TestCommitAlone(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		topic := testkit.Topic(t, addr, 3)
		c := newClient(t, addr, nil)
		if _, found, err := c.Committed(t.Context(), topic, topic, 0); err != nil || found {
			t.Fatalf("committed before anybody did: %v, %v", found, err)
		}
		for _, offset := range []int64{7, 12} {
			if err := c.CommitAlone(t.Context(), topic, topic, map[int]int64{0: offset, 2: 1}); err != nil {
				t.Fatal(err)
			}
			for partition, want := range map[int]int64{0: offset, 2: 1} {
				if next, found, err := c.Committed(t.Context(), topic, topic, partition); err != nil || !found || next != want {
					t.Errorf("partition %d: %d, %v, %v; want %d", partition, next, found, err, want)
				}
			}
		}
		if _, found, err := c.Committed(t.Context(), topic, topic, 1); err != nil || found {
			t.Errorf("partition 1: %v, %v", found, err)
		}
	})
}
