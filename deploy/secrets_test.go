package deploy_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

// makeSecrets makes passwords in a folder of the test's own.
func makeSecrets(t *testing.T) (folder string) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "secrets")
	runMakeSecrets(t, folder)
	return folder
}

func runMakeSecrets(t *testing.T, folder string) {
	t.Helper()
	script := filepath.Join(testkit.Root(t), "deploy", "compose", "make-secrets")
	if out, err := exec.CommandContext(t.Context(), script, folder).CombinedOutput(); err != nil {
		t.Fatalf("make-secrets: %v\n%s", err, out)
	}
}
