package witness

import (
	"slices"
	"strings"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Newest returns the checkpoint with the most entries of those that witnesses have signed of one log, with the cosignatures of all that have signed the same.
// Nil: there is none. What is no checkpoint is passed over.
func Newest(list []vault.Cosigned) []byte {
	var size uint64
	var text string
	var lines []string
	for _, c := range list {
		point, err := chain.ReadCheckpoint([]byte(c.Note))
		if err != nil || point.Size < size {
			continue
		}
		said, signatures, _ := strings.Cut(c.Note, "\n\n")
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
