package process

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/telemetry"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func spec(address string, build func(context.Context, Base) (*Process, error)) Spec {
	return Spec{
		Name:   "test",
		Help:   "A test.",
		Listen: func(config.Config) string { return address },
		Memory: func(config.Config) config.ByteSize { return 0 },
		Build:  build,
	}
}

func TestExitCodes(t *testing.T) {
	f := func(name string, code int, wanted string, build func(context.Context, Base) (*Process, error), args ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if got := Main(spec(freeAddress(t), build), args, nil, &stdout, &stderr); got != code {
				t.Errorf("exit code %d, want %d", got, code)
			}
			if all := stdout.String() + stderr.String(); !strings.Contains(all, wanted) {
				t.Errorf("%q does not say %q", all, wanted)
			}
			if code == ExitFailed && strings.Count(stderr.String(), "\n") != 1 {
				t.Errorf("not one line: %q", stderr.String())
			}
		})
	}
	never := func(context.Context, Base) (*Process, error) {
		t.Error("it was built")
		return nil, errors.New("unexpected")
	}
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("log:\n  level: loud\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f("help", ExitGood, "A test.", never, "--help")
	f("no configuration", ExitFailed, "--data DIR", never)
	f("unknown flag", ExitFailed, "--bogus", never, "--bogus")
	f("two configurations", ExitFailed, "can't be used together", never, "--data", "x", "--config", "y")
	f("no such folder", ExitFailed, "config.yaml", never, "--data", "/nowhere")
	f("bad value", ExitFailed, "log.level", never, "--config", file)
	f("unknown key", ExitFailed, "did you mean log.level?", never, "--set", "log.levl=info")
	f("cannot be built", ExitNo, "no vault", func(context.Context, Base) (*Process, error) {
		return nil, errors.New("no vault")
	}, "--set", "log.level=info")
	f("fails while running", ExitNo, "broken", func(context.Context, Base) (*Process, error) {
		return &Process{Run: func(context.Context) error { return errors.New("broken") }}, nil
	}, "--set", "log.level=info")
	f("stops by itself", ExitNo, "without being told to", func(context.Context, Base) (*Process, error) {
		return &Process{Run: func(context.Context) error { return nil }}, nil
	}, "--set", "log.level=info")
	f("cannot be closed", ExitNo, "lost", func(context.Context, Base) (*Process, error) {
		return &Process{Run: func(context.Context) error { return errors.New("broken") }, Close: func() error { return errors.New("lost") }}, nil
	}, "--set", "log.level=info")
}

// SIGTERM ends a process cleanly: what it runs ends first, then what it has open is closed.
func TestSignalEndsIt(t *testing.T) {
	address := freeAddress(t)
	var order []string
	var stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() { // ends by the signal below
		ended <- Main(spec(address, func(context.Context, Base) (*Process, error) {
			return &Process{
				Run: func(ctx context.Context) error {
					<-ctx.Done()
					order = append(order, "run")
					return ctx.Err()
				},
				Close:  func() error { order = append(order, "close"); return nil },
				Checks: []telemetry.Check{{Name: "always", Run: func(context.Context) error { return nil }}},
			}, nil
		}), []string{"--set", "log.level=info"}, nil, &bytes.Buffer{}, &stderr)
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	testkit.Eventually(t, 10*time.Second, func() bool {
		response, err := client.Get("http://" + address + "/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, "the process is ready")
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := <-ended; code != ExitGood {
		t.Errorf("exit code %d\n%s", code, stderr.String())
	}
	if got := strings.Join(order, " "); got != "run close" {
		t.Errorf("order %q", got)
	}
}

func TestFlagsAndEnvironment(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ConfigFile), []byte("deployment: there\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(want string, flags Flags, environ ...string) {
		t.Helper()
		c, err := flags.Load(environ)
		if err != nil || c.Deployment != want {
			t.Errorf("deployment %q, %v; want %q", c.Deployment, err, want)
		}
	}
	f("there", Flags{Data: dir})
	f("there", Flags{Config: filepath.Join(dir, ConfigFile)})
	f("there", Flags{}, "AGENTAUDIT_DATA="+dir)
	f("there", Flags{}, "AGENTAUDIT_CONFIG="+filepath.Join(dir, ConfigFile))
	f("there", Flags{Data: dir}, "AGENTAUDIT_CONFIG=/elsewhere.yaml")
	f("here", Flags{Data: dir}, "AGENTAUDIT_DEPLOYMENT=here")
	f("here", Flags{}, "AGENTAUDIT_DEPLOYMENT=here")
	f("now", Flags{Data: dir, Set: []string{"deployment=now"}}, "AGENTAUDIT_DEPLOYMENT=here")
}

func TestSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := secret("k", "", config.Path(file)); err != nil || got != "from file" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := secret("k", "from environment", ""); err != nil || got != "from environment" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := secret("clickhouse.password", "", "/nowhere"); err == nil || !strings.Contains(err.Error(), "clickhouse.password_file") {
		t.Errorf("got %v", err)
	}
}
