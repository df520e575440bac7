package chain

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestLogNames(t *testing.T) {
	if got := LogName("agent.events", 3, 0) + " " + LogName("agent.events", 3, 2); got != "agent.events/3 agent.events/3.2" {
		t.Error(got)
	}
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t)
		topic, partition, generation, err := ParseLog(log)
		if err != nil || LogName(topic, partition, generation) != log {
			t.Fatalf("%s: %v", log, err)
		}
	})
	for _, bad := range []string{"", "/", "a/", "/1", "a", "a/b", "a/01", "a/1.", "a/1.0", "a/1.01", "a/-1", "a/1/2", "a/1.2.3", "ä/1", "./1", "../1", "a b/1", "a/2147483648",
		strings.Repeat("a", 250) + "/1"} {
		if _, _, _, err := ParseLog(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
