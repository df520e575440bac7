package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/telemetry"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
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

// A file that the configuration names and that is missing ended a process with 1, and a service manager started it for ever.
func TestMissingSecretsAreMistakes(t *testing.T) {
	dir := t.TempDir()
	exposed := filepath.Join(dir, "exposed")
	if err := os.WriteFile(exposed, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := func(name string, code int, says string, build func(context.Context, Base) error, set ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			args := []string{"--set", "deployment=test"}
			for _, s := range set {
				args = append(args, "--set", s)
			}
			var stderr bytes.Buffer
			got := Main(spec(freeAddress(t), func(ctx context.Context, base Base) (*Process, error) { return nil, build(ctx, base) }), args, nil, &bytes.Buffer{}, &stderr)
			if got != code || !strings.Contains(stderr.String(), says) {
				t.Errorf("exit code %d, want %d; %s", got, code, stderr.String())
			}
		})
	}
	missing := filepath.Join(dir, "missing")
	openVault := func(ctx context.Context, base Base) error { _, err := OpenVault(ctx, base.Config, nil); return err }
	openStore := func(ctx context.Context, base Base) error { _, err := OpenStore(ctx, base.Config); return err }
	openKafka := func(_ context.Context, base Base) error { _, err := OpenKafka(base.Config, kafkaio.Deps{}); return err }
	openAuthor := func(_ context.Context, base Base) error { _, err := ExporterAuthor(base.Config); return err }
	f("keyring", ExitFailed, missing, openVault, "keys.source=file:"+missing)
	f("keyring of others", ExitFailed, "chmod 600", openVault, "keys.source=file:"+exposed)
	f("password of the vault", ExitFailed, missing, func(_ context.Context, base Base) error {
		_, err := secret("vault.dsn", "", base.Config.Vault.DSNFile)
		return err
	}, "vault.driver=postgres", "vault.dsn_file="+missing)
	f("password of ClickHouse", ExitFailed, missing, openStore, "clickhouse.password_file="+missing)
	f("authorities of ClickHouse", ExitFailed, missing, openStore, "clickhouse.addresses=https://127.0.0.1:1", "clickhouse.tls.ca_file="+missing)
	f("password of Kafka", ExitFailed, missing, openKafka, "kafka.sasl.mechanism=plain", "kafka.sasl.username=u", "kafka.sasl.password_file="+missing, "kafka.tls.enabled=true")
	f("key of the exporter", ExitFailed, missing, openAuthor, "exporter.author_key_file="+missing)
	f("key of the exporter that others may read", ExitFailed, "chmod 600", openAuthor, "exporter.author_key_file="+exposed)
	f("another vault's keyring", ExitFailed, "wrong keyring", func(context.Context, Base) error { return fmt.Errorf("open: %w", vault.ErrWrongKeyring) })
	f("checked by New", ExitFailed, "no key", func(context.Context, Base) error { return errors.Join(Mistake{errors.New("no key")}, nil) })
	// What may come yet is waited for.
	f("a server that is not there", ExitNo, "connection refused", openStore, "clickhouse.addresses=http://127.0.0.1:1")
	f("a socket that is not there", ExitNo, "no such file", func(ctx context.Context, _ Base) error {
		_, err := new(net.Dialer).DialContext(ctx, "unix", missing)
		return err
	})
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
