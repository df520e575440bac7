// Package deploy_test holds what is in this folder, docker-compose.yml, the Dockerfile and docs/operations.md against the
// programs: their configuration, their metrics, their tables, and themselves, run with the very environment that Compose gives them.
package deploy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

// read returns a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testkit.Root(t), filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// readYAML decodes a file of the repository and refuses keys that target does not have.
func readYAML(t *testing.T, path string, target any) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(read(t, path)))
	decoder.KnownFields(true)
	if err := decoder.Decode(target); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
