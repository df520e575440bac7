package scan

import "fmt"

// Threat is how dangerous a text is, from all that was found in it. Its numbers and names are those of the column `threat`.
type Threat uint8

// The threats. None: nothing was scanned. Low: it was, and there is nothing of note.
const (
	None Threat = iota
	Low
	Medium
	High
	Critical
)

var threatNames = [...]string{"none", "low", "medium", "high", "critical"}

// String returns the name as it stands in entries, in SQL and in what `agentaudit scan` prints.
func (t Threat) String() string {
	if int(t) >= len(threatNames) {
		return fmt.Sprintf("threat %d", uint8(t))
	}
	return threatNames[t]
}

// Finding is one thing that was found.
type Finding struct {
	// Name is the category and the check, such as injection.instruction_override, secret.api_key, pii.email, output.script. Names are part of the sealed entry:
	// they never change their meaning.
	Name string
	// Start and End are a range of bytes in the text, End exclusive; both 0 when the finding is about the text as a whole.
	Start, End int
}

// Source is where a text comes from. The same words are worse in what a tool returned, where nobody should give orders, than in a user's message.
type Source uint8

// The sources of texts.
const (
	FromUser  Source = iota // a user's message, or the input of a model
	FromModel               // what a model has written: its answer, or the arguments of a tool call
	FromTool                // what a tool returned: data that the agent reads
)

// ParseThreat returns the threat of a name, if there is one.
func ParseThreat(name string) (Threat, bool) {
	for i, n := range threatNames {
		if n == name {
			return Threat(i), true
		}
	}
	return None, false
}
