package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/cli"
	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/up/uptest"
)

// headings are the anchors of a document's sections, as GitHub makes them.
func headings(t *testing.T, path string) []string {
	t.Helper()
	var anchors []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(read(t, path), -1) {
		anchor := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		anchors = append(anchors, strings.ReplaceAll(anchor, " ", "-"))
	}
	return anchors
}

// The configuration that is given as an example loads.
func TestExampleConfiguration(t *testing.T) {
	c, err := config.Load(config.Sources{File: filepath.Join(testkit.Root(t), "deploy", "agentaudit.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	if !c.Kafka.TLS.Enabled || c.Vault.Driver != "postgres" || c.HTTP.TLS.CertFile == "" {
		t.Errorf("it shows nothing: %+v", c)
	}
}

// Commands that the document gives are commands, with the flags that it gives them.
func TestDocumentedCommandsExist(t *testing.T) {
	command := regexp.MustCompile(`(?m)^(?:sudo -u agentaudit agentaudit|agentaudit|docker compose run --rm (?:-T )?setup) (.*)$`)
	found := 0
	for _, block := range uptest.Blocks(read(t, "docs/operations.md")) {
		for _, m := range command.FindAllStringSubmatch(block.Commands, -1) {
			found++
			var out strings.Builder
			if code := cli.Main(append(names(m[1]), "--help"), nil, strings.NewReader(""), &out, &out); code != 0 {
				t.Errorf("%s: exit code %d\n%s", m[0], code, out.String())
			}
			for _, flag := range regexp.MustCompile(` (--[a-z-]+)`).FindAllStringSubmatch(" "+m[1], -1) {
				if !strings.Contains(out.String(), flag[1]) {
					t.Errorf("%s: there is no %s", m[0], flag[1])
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d commands found", found)
	}
}

// names are the words that a command begins with, such as "log reopen".
func names(command string) (words []string) {
	for word := range strings.FieldsSeq(command) {
		if !regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(word) {
			break
		}
		words = append(words, word)
	}
	return words
}

// The list of metrics is complete and has none that do not exist.
func TestMetricsAreDocumented(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "docs/operations.md"), "\n## Metrics\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(agentaudit_[a-z_]+)").FindAllStringSubmatch(section, -1) {
		listed = append(listed, m[1])
	}
	var have []string
	for _, name := range ownMetrics(t) {
		have = append(have, regexp.MustCompile(`_(bucket|count|sum)$`).ReplaceAllString(name, ""))
	}
	slices.Sort(listed)
	if have = slices.Compact(have); !slices.Equal(listed, have) {
		t.Errorf("docs/operations.md lists\n%v\nthere are\n%v", listed, have)
	}
}

// Files that the document names are there.
func TestDocumentedFilesExist(t *testing.T) {
	text := read(t, "docs/operations.md") + read(t, "README.md")
	for _, m := range regexp.MustCompile("`((?:deploy|docs|internal|schemas)/[A-Za-z0-9_./@-]+)`").FindAllStringSubmatch(text, -1) {
		if strings.HasPrefix(m[1], "deploy/compose/secrets") {
			continue // made by make compose-secrets
		}
		if _, err := os.Stat(filepath.Join(testkit.Root(t), m[1])); err != nil {
			t.Error(err)
		}
	}
}
