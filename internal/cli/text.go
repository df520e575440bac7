package cli

import (
	"cmp"
	"strings"
	"unicode"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// byCommandLine stands in the log for who asks or orders something with a command: nobody has logged in.
const byCommandLine = "command line"

// printable replaces what could move the cursor, hide text or run on a terminal: what is printed comes from
// whoever sends events.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}

// compareLogs orders by topic, partition and generation.
func compareLogs(a, b string) int {
	topicA, partitionA, generationA, errA := chain.ParseLog(a)
	topicB, partitionB, generationB, errB := chain.ParseLog(b)
	if errA != nil || errB != nil {
		return cmp.Compare(a, b)
	}
	return cmp.Or(cmp.Compare(topicA, topicB), cmp.Compare(partitionA, partitionB), cmp.Compare(generationA, generationB))
}
