package ingest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// stops are the partitions that wait for an operator. Safe for concurrent use.
type stops struct {
	mu      sync.Mutex
	reasons map[string]string
}

func (s *stops) add(topic string, number int, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reasons[fmt.Sprintf("%s/%d", topic, number)] = reason
}

func (s *stops) remove(topic string, number int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.reasons, fmt.Sprintf("%s/%d", topic, number))
}

// check fails while any partition is stopped.
func (s *stops) check(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.reasons) == 0 {
		return nil
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(s.reasons)) {
		parts = append(parts, name+" ("+s.reasons[name]+")")
	}
	return fmt.Errorf("stopped: %s", strings.Join(parts, ", "))
}
