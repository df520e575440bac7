package kafkaio

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"github.com/segmentio/kafka-go"
)

// The ways to assign partitions.
const (
	assignSticky = "sticky"
	assignRange  = "range"
)

// stickyBalancer spreads partitions evenly and moves as few as that allows, so that what a member has cached stays useful. Members say what they
// had; kafka-go has no such balancer. Its name is ours, because the user data of Java's "sticky" is another.
type stickyBalancer struct {
	mu    sync.Mutex
	owned ownedPartitions // guarded by mu: what this member had last
}

// ownedPartitions is the user data of a member, JSON.
type ownedPartitions struct {
	Generation int32            `json:"generation"`
	Topics     map[string][]int `json:"topics"`
}

func (s *stickyBalancer) own(generation int32, parts []Assignment) {
	owned := ownedPartitions{Generation: generation, Topics: map[string][]int{}}
	for _, a := range parts {
		owned.Topics[a.Topic] = append(owned.Topics[a.Topic], a.Partition)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owned = owned
}

// ProtocolName is what members must have in common.
func (s *stickyBalancer) ProtocolName() string { return "agentaudit-sticky" }

// UserData says what this member had.
func (s *stickyBalancer) UserData() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return json.Marshal(s.owned)
}

// AssignGroups is called at the group's leader.
func (s *stickyBalancer) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	return assignStickily(members, partitions)
}

type topicPartition struct {
	topic     string
	partition int
}

// assignStickily gives each partition to a member that subscribed to its topic. If all subscribed to the same topics, numbers differ by one at
// most. It depends on its arguments only, not on their order.
func assignStickily(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	members = slices.SortedFunc(slices.Values(members), func(a, b kafka.GroupMember) int { return cmp.Compare(a.ID, b.ID) })
	topics := make([]map[string]bool, len(members))
	for i, m := range members {
		topics[i] = map[string]bool{}
		for _, topic := range m.Topics {
			topics[i][topic] = true
		}
	}
	var open []topicPartition // sorted, and each once
	for _, p := range partitions {
		open = append(open, topicPartition{p.Topic, p.ID})
	}
	slices.SortFunc(open, func(a, b topicPartition) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
	open = slices.Compact(open)

	// Who had a partition last keeps it, as long as that is no more than a fair share. Every share has floor; extra of them have one more.
	floor, extra := 0, 0
	if len(members) > 0 {
		floor, extra = len(open)/len(members), len(open)%len(members)
	}
	claims := claimsOf(members, topics)
	had := make([]int, len(members))
	for _, p := range open {
		if i, ok := claims[p]; ok {
			had[i]++
		}
	}
	shares := make([]int, len(members))
	for _, i := range byClaims(had) {
		shares[i] = floor
		if extra > 0 {
			shares[i]++
			extra--
		}
	}
	got := make([][]topicPartition, len(members))
	var rest []topicPartition
	for _, p := range open {
		if i, ok := claims[p]; ok && len(got[i]) < shares[i] {
			got[i] = append(got[i], p)
		} else {
			rest = append(rest, p)
		}
	}
	for _, p := range rest {
		least := -1
		for i := range members {
			if topics[i][p.topic] && (least < 0 || len(got[i]) < len(got[least])) {
				least = i
			}
		}
		if least >= 0 {
			got[least] = append(got[least], p)
		}
	}

	assigned := kafka.GroupMemberAssignments{}
	for i, m := range members {
		assigned[m.ID] = map[string][]int{}
		for _, p := range got[i] {
			assigned[m.ID][p.topic] = append(assigned[m.ID][p.topic], p.partition)
		}
	}
	return assigned
}

// claimsOf finds who had each partition in the latest generation. User data that cannot be read claims nothing.
func claimsOf(members []kafka.GroupMember, topics []map[string]bool) map[topicPartition]int {
	claims := map[topicPartition]int{}
	since := map[topicPartition]int32{}
	for i, m := range members {
		var owned ownedPartitions
		if json.Unmarshal(m.UserData, &owned) != nil {
			continue
		}
		for _, topic := range slices.Sorted(maps.Keys(owned.Topics)) {
			for _, id := range owned.Topics[topic] {
				p := topicPartition{topic, id}
				if before, claimed := since[p]; topics[i][topic] && (!claimed || owned.Generation > before) {
					claims[p], since[p] = i, owned.Generation
				}
			}
		}
	}
	return claims
}

// byClaims orders members by how much they had, most first: they are the ones to keep one more.
func byClaims(had []int) []int {
	order := make([]int, len(had))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(had[b], had[a]) })
	return order
}
