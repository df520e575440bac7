package witness

import (
	"slices"
	"strings"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Newest returns the checkpoint with the most entries of those given, which are cosigned checkpoints of one log, with the signatures of all that say the same.
// Nil: none was given. What is none is passed over.
func Newest(cosigned [][]byte) []byte {
	var size uint64
	var text string
	var lines []string
	for _, signed := range cosigned {
		point, err := chain.ReadCheckpoint(signed)
		if err != nil || point.Size < size {
			continue
		}
		said, signatures, _ := strings.Cut(string(signed), "\n\n")
		if point.Size > size {
			size, text, lines = point.Size, said, nil
		}
		if said != text {
			continue // somebody has another history of this log, and the alarm that follows from it is not raised here
		}
		for line := range strings.Lines(signatures) {
			if !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	if size == 0 {
		return nil
	}
	return []byte(text + "\n\n" + strings.Join(lines, ""))
}
