package kafkaio

import (
	"sync"

	"github.com/segmentio/kafka-go"
)

// leaderNote is how many partitions of each topic this member assigned, if it is the group's leader.
type leaderNote struct {
	mu     sync.Mutex
	counts map[string]int // guarded by mu; nil if it is not the leader
}

// take returns the note of the generation that begins and clears it for the next.
func (n *leaderNote) take() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	counts := n.counts
	n.counts = nil
	return counts
}

// noting is a balancer that keeps a leaderNote.
type noting struct {
	kafka.GroupBalancer
	note *leaderNote
}

// AssignGroups is called at the group's leader.
func (b noting) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	counts := map[string]int{}
	for _, p := range partitions {
		counts[p.Topic]++
	}
	b.note.mu.Lock()
	b.note.counts = counts
	b.note.mu.Unlock()
	return b.GroupBalancer.AssignGroups(members, partitions)
}
