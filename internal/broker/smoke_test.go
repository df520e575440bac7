package broker_test

import (
	"context"
	"testing"

	"github.com/segmentio/kafka-go"

	"github.com/agentaudit/agentaudit/internal/broker"
	"github.com/agentaudit/agentaudit/internal/broker/brokertest"
)

func TestSmoke(t *testing.T) {
	p := brokertest.Start(t, brokertest.Options{Topics: []broker.Topic{{Name: "a", Partitions: 2}}})
	w := kafka.Writer{Addr: kafka.TCP(p.Address), Topic: "a", RequiredAcks: kafka.RequireAll}
	if err := w.WriteMessages(context.Background(), kafka.Message{Value: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	w.Close()
}
