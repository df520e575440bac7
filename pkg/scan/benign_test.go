package scan

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// What tools return is full of rules, roles, instructions and passwords. At most three in a thousand may count as an injection.
func TestToolOutputsAreBenign(t *testing.T) {
	file, err := os.Open("testdata/benign_tools.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	sc, s := newScanner(t, Options{}), NewScratch()
	texts, flagged := 0, 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var line struct{ Text string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		texts++
		findings, threat := sc.Scan(s, []byte(line.Text), FromTool)
		for _, f := range findings {
			if threat >= Medium && strings.HasPrefix(f.Name, "injection.") {
				flagged++
				t.Logf("%s in %q", f.Name, line.Text)
				break
			}
		}
	}
	if texts < 800 || 1000*flagged > 3*texts {
		t.Errorf("%d of %d are flagged", flagged, texts)
	}
}
