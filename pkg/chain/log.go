package chain

import (
	"errors"
	"strconv"
	"strings"
)

// maxTopicBytes is Kafka's limit for the name of a topic.
const maxTopicBytes = 249

var errLogName = errors.New("not the name of a log: <topic>/<partition> or <topic>/<partition>.<generation> expected")

// LogName returns the name of the log of a partition: `<topic>/<partition>`, with `.<generation>` behind it for a successor (generation ≥ 1).
func LogName(topic string, partition, generation int) string {
	name := topic + "/" + strconv.Itoa(partition)
	if generation > 0 {
		name += "." + strconv.Itoa(generation)
	}
	return name
}

// ParseLog takes a log's name apart. It accepts exactly what LogName writes for a topic that Kafka allows (1 to 249 characters out of A-Z a-z 0-9 . _ -).
func ParseLog(log string) (topic string, partition, generation int, err error) {
	topic, place, ok := strings.Cut(log, "/")
	if !ok || !validTopic(topic) {
		return "", 0, 0, errLogName
	}
	number, successor, isSuccessor := strings.Cut(place, ".")
	if partition, ok = parsePlace(number); !ok {
		return "", 0, 0, errLogName
	}
	if isSuccessor {
		if generation, ok = parsePlace(successor); !ok || generation == 0 {
			return "", 0, 0, errLogName
		}
	}
	return topic, partition, generation, nil
}

// parsePlace reads a partition or generation: what strconv.Itoa writes for 0 to 2^31-1, the range of Kafka's partitions.
func parsePlace(digits string) (int, bool) {
	if len(digits) == 0 || len(digits) > 10 || digits[0] == '0' && len(digits) > 1 {
		return 0, false
	}
	n := 0
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, false
		}
		n = n*10 + int(digits[i]-'0')
	}
	return n, n <= 1<<31-1
}

func validTopic(topic string) bool {
	return len(topic) <= maxTopicBytes && validName(topic) && topic != "." && topic != ".."
}

func validName(name string) bool {
	for i := range len(name) {
		if !nameByte(name[i]) {
			return false
		}
	}
	return len(name) > 0
}

// nameByte says whether c may stand in a name of ours (topic, author, finding): such names need no escaping in JSON, SQL strings, paths or URLs.
func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}
