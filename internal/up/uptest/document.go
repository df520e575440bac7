package uptest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

// Document returns the text of a document of the repository, such as "docs/api.md".
func Document(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testkit.Root(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Block is a block of commands in a document.
type Block struct {
	Commands string
	Prints   string // what the document shows in the block that follows at once, or ""
}

// Blocks are the blocks of commands of a document's text, in their order.
func Blocks(text string) []Block {
	var blocks []Block
	for _, m := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```\n(?:```\n(.*?)^```)?").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, Block{Commands: m[1], Prints: m[2]})
	}
	return blocks
}

// Shell runs commands in a folder until one fails. env is added to the environment.
func Shell(t testing.TB, dir, commands string, env ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", commands)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v\n%s", err, commands)
	}
	return Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}
