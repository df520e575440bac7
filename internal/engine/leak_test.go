package engine_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/agentaudit/agentaudit/internal/engine"
)

// leakVariable makes this binary run one engine in itself and look for what it leaves behind.
const leakVariable = "AGENTAUDIT_ENGINE_LEAK_DIR"

func runAndFindLeaks(dir string) int {
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("p\n"), 0o600); err != nil {
		fmt.Println(err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err := engine.Run(ctx, engine.Config{Dir: filepath.Join(dir, "engine"), Listen: "127.0.0.1:0", User: "u", PasswordFile: password,
		Ready: func(address string) {
			go func() {
				defer cancel()
				for _, sql := range []string{"SELECT 1", "SELECT number FROM numbers(1000000)", "SELECT nothing", "SELECT 1&session_id=a"} {
					res, err := http.Get("http://" + address + "/?user=u&password=p&query=" + strings.ReplaceAll(sql, " ", "+"))
					if err != nil {
						fmt.Println(err)
						continue
					}
					_, _ = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				http.DefaultClient.CloseIdleConnections()
			}()
		}})
	if err != nil {
		fmt.Println("run:", err)
		return 1
	}
	if err := goleak.Find(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// Run ends with its last goroutine.
func TestRunLeavesNothing(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), leakVariable+"="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
