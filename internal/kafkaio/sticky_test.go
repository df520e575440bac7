package kafkaio

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/segmentio/kafka-go"
	"pgregory.net/rapid"
)

// simulate is a group whose members come and go; each generation tells the balancer what they had in the last.
func TestStickyAssignments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type member struct {
			id    string
			owned ownedPartitions
		}
		var members []*member
		partitions := map[string]int{"a": rapid.IntRange(0, 9).Draw(t, "partitions of a"), "b": rapid.IntRange(0, 4).Draw(t, "partitions of b")}
		for generation := range int32(rapid.IntRange(2, 12).Draw(t, "generations")) {
			before := map[topicPartition]string{}
			for _, m := range members {
				for topic, ids := range m.owned.Topics {
					for _, id := range ids {
						before[topicPartition{topic, id}] = m.id
					}
				}
			}
			stayed := len(members)
			switch change := rapid.SampledFrom([]string{"join", "leave", "more", "none"}).Draw(t, "change"); {
			case change == "join" || len(members) == 0:
				members = append(members, &member{id: fmt.Sprint("m", generation)})
			case change == "leave" && len(members) > 1:
				at := rapid.IntRange(0, len(members)-1).Draw(t, "who")
				members = slices.Delete(members, at, at+1)
				stayed--
			case change == "more":
				partitions["a"]++
			}
			var asked []kafka.GroupMember
			for _, m := range members {
				data, err := json.Marshal(m.owned)
				if err != nil {
					t.Fatal(err)
				}
				asked = append(asked, kafka.GroupMember{ID: m.id, Topics: []string{"a", "b"}, UserData: data})
			}
			var all []kafka.Partition
			for topic, n := range partitions {
				for id := range n {
					all = append(all, kafka.Partition{Topic: topic, ID: id})
				}
			}
			asked = rapid.Permutation(asked).Draw(t, "order of members")
			got := assignStickily(asked, all)

			least, most, moved := 1<<30, 0, 0
			seen := map[topicPartition]bool{}
			for _, m := range members {
				n := 0
				for topic, ids := range got[m.id] {
					n += len(ids)
					for _, id := range ids {
						p := topicPartition{topic, id}
						if seen[p] || id >= partitions[topic] {
							t.Fatalf("%v was assigned twice or does not exist", p)
						}
						seen[p] = true
						if owner := before[p]; owner != "" && owner != m.id && slices.ContainsFunc(members, func(m *member) bool { return m.id == owner }) {
							moved++
						}
					}
				}
				least, most = min(least, n), max(most, n)
				m.owned = ownedPartitions{Generation: generation, Topics: got[m.id]}
			}
			if len(seen) != len(all) {
				t.Fatalf("%d of %d partitions were assigned", len(seen), len(all))
			}
			if most-least > 1 {
				t.Fatalf("members have %d to %d partitions", least, most)
			}
			// A newcomer takes its share and no more; nobody else's move.
			if share := (len(all) + len(members) - 1) / len(members); moved > share || stayed == len(members) && len(all) == len(before) && moved > 0 {
				t.Fatalf("%d partitions moved between members that stayed", moved)
			}
		}
	})
}

func TestStickySubscriptionsAndBadUserData(t *testing.T) {
	got := assignStickily([]kafka.GroupMember{
		{ID: "x", Topics: []string{"a"}, UserData: []byte("not JSON")},
		{ID: "y", Topics: []string{"b"}, UserData: []byte(`{"generation":9,"topics":{"a":[0],"b":[7]}}`)},
	}, []kafka.Partition{{Topic: "a", ID: 0}, {Topic: "a", ID: 1}, {Topic: "b", ID: 0}, {Topic: "c", ID: 0}})
	if fmt.Sprint(got) != "map[x:map[a:[0 1]] y:map[b:[0]]]" {
		t.Errorf("got %v", got)
	}
	if got := assignStickily(nil, []kafka.Partition{{Topic: "a"}}); len(got) != 0 {
		t.Errorf("nobody got %v", got)
	}
}
