// Package scantrain trains the linear model of pkg/scan and measures what the scanner finds: on labelled texts, cross-validated by source, and on sentences with personal data.
// Everything is deterministic: no clock, no random numbers.
package scantrain

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/agentaudit/agentaudit/pkg/scan"
)

// Text is a labelled text.
type Text struct {
	Source string `json:"source"`
	Label  int    `json:"label"` // 1: an attack
	Text   string `json:"text"`
}

// maxLineBytes bounds a line of a corpus.
const maxLineBytes = 16 << 20

// errLabel: a corpus that mixes labels up would train nonsense without a sign.
var errLabel = errors.New("a label other than 0 and 1, or no source")

// ReadTexts reads JSON Lines of texts.
func ReadTexts(path string) ([]Text, error) {
	var texts []Text
	err := eachLine(path, func(line []byte) error {
		var t Text
		if err := json.Unmarshal(line, &t); err != nil {
			return err
		}
		if t.Source == "" || t.Label != 0 && t.Label != 1 {
			return errLabel
		}
		texts = append(texts, t)
		return nil
	})
	return texts, err
}

func eachLine(path string, visit func(line []byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return lines(file, path, visit)
}

func lines(r io.Reader, path string, visit func(line []byte) error) error {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLineBytes)
	for n := 1; scanner.Scan(); n++ {
		if len(scanner.Bytes()) == 0 {
			continue
		}
		if err := visit(scanner.Bytes()); err != nil {
			return fmt.Errorf("%s line %d: %w", path, n, err)
		}
	}
	return scanner.Err()
}

// example is a text with what the rules and the model see in it.
type example struct {
	Text
	rules    []string
	score    float64 // of the rules
	found    bool
	windows  []scan.Feature
	training bool // only to train on: counted in no result
}

// observe has the scanner look at texts.
func observe(scanner *scan.Scanner, texts []Text) []example {
	scratch := scan.NewScratch()
	examples := make([]example, 0, len(texts))
	for _, t := range texts {
		e := scanner.Explain(scratch, []byte(t.Text))
		examples = append(examples, example{Text: t, rules: e.Rules, score: float64(e.RuleScore), found: e.Found, windows: e.Windows})
	}
	return examples
}

// sources returns the sources in order.
func sources(examples []example) []string {
	var out []string
	for i := range examples {
		if s := examples[i].Source; !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}
