package detector

import (
	"context"
	"fmt"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/vault"
)

func place(topic string, partition int) string { return fmt.Sprintf("%s/%d", topic, partition) }

// from returns where each partition of a topic is to be read: from the snapshot's place, or from the first record that Kafka has.
func (d *Detector) from(ctx context.Context, topic string, places vault.DetectorPlaces) ([]int64, error) {
	n, err := d.deps.Kafka.Partitions(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("read the partitions of %s: %w", topic, err)
	}
	from := make([]int64, n)
	for i := range from {
		next, known := places[place(topic, i)]
		if !known {
			if next, _, err = d.deps.Kafka.Offsets(ctx, topic, i); err != nil {
				return nil, err
			}
		}
		from[i] = next
	}
	return from, nil
}

// places returns from where partitions are to be read after a restart from a snapshot of now.
func (t *detection) places() vault.DetectorPlaces {
	places := vault.DetectorPlaces{}
	for number, next := range t.events {
		if t.observed[number] {
			next = min(next, t.engine.ResumeAt(int32(number)))
		}
		if t.held[number] >= 0 {
			next = min(next, t.held[number])
		}
		places[place(t.detector.cfg.EventsTopic, number)] = next
	}
	for number, next := range t.system {
		places[place(t.detector.cfg.SystemTopic, number)] = next
	}
	for number, next := range t.alerts {
		places[place(t.detector.cfg.AlertsTopic, number)] = next
	}
	return places
}

func (t *detection) positions() map[int]int64 {
	next := make(map[int]int64, len(t.events))
	for number, offset := range t.events {
		next[number] = offset
	}
	return next
}

// commit tells tools where reading is, until ctx ends.
func (t *detection) commit(ctx context.Context) error {
	for {
		select {
		case next := <-t.commits:
			if err := t.detector.deps.Kafka.CommitAlone(ctx, t.detector.cfg.Group, t.detector.cfg.EventsTopic, next); err != nil && ctx.Err() == nil {
				t.detector.deps.Log.Warn("the place of reading could not be committed; tools show a lag that is not there", "error", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// ends returns the offsets behind the last records of a topic's partitions.
func ends(ctx context.Context, kafka *kafkaio.Client, topic string) ([]int64, error) {
	n, err := kafka.Partitions(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("read the partitions of %s: %w", topic, err)
	}
	list := make([]int64, n)
	for i := range list {
		if _, list[i], err = kafka.Offsets(ctx, topic, i); err != nil {
			return nil, err
		}
	}
	return list, nil
}
