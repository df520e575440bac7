package child_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agentaudit/agentaudit/internal/child"
	"github.com/agentaudit/agentaudit/internal/child/childtest"
)

type config struct {
	Listen string `json:"listen"`
	Fail   bool   `json:"fail"`
}

// serve is a child that does nothing until it is to end.
func serve(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	return child.Serve(ctx, stdin, stdout, func(ctx context.Context, cfg config, ready func(string)) error {
		if cfg.Fail {
			return errors.New("it was asked to fail")
		}
		ready("127.0.0.1:4242")
		<-ctx.Done()
		return nil
	})
}

func TestMain(m *testing.M) {
	childtest.Register("idle", serve)
	os.Exit(m.Run())
}

// The end of standard input, which the parent's death is too, ends the child.
func TestServeEndsWithStdin(t *testing.T) {
	defer goleak.VerifyNone(t)
	in, parent := io.Pipe()
	var out bytes.Buffer
	done := make(chan error, 1)
	go func() { done <- serve(context.Background(), in, &out) }()
	if err := child.WriteConfig(parent, config{Listen: "x"}); err != nil {
		t.Fatal(err)
	}
	parent.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if r, err := child.Await(&out); err != nil || r.Address != "127.0.0.1:4242" {
		t.Errorf("ready: %+v, %v", r, err)
	}
}

func TestServeRefuses(t *testing.T) {
	for _, stdin := range []string{"", "{}", "{\"unknown\":1}\n", "nonsense\n", strings.Repeat("x", 2<<20)} {
		if err := serve(context.Background(), strings.NewReader(stdin), io.Discard); err == nil {
			t.Errorf("configuration %.20q was taken", stdin)
		}
	}
}

func TestProc(t *testing.T) {
	p, err := childtest.Launch("idle", t.TempDir(), func(listen string) any { return config{Listen: listen} })
	if err != nil {
		t.Fatal(err)
	}
	first := p.Pid()
	p.Kill()
	if err := p.Restart(); err != nil || p.Pid() == first {
		t.Fatalf("restart: %v", err)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stop of a child that has ended: %v", err)
	}
	if err := p.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("SIGTERM did not end it")
	}
	_, err = childtest.Launch("idle", t.TempDir(), func(string) any { return config{Fail: true} })
	if !errors.Is(err, child.ErrNotReady) || !strings.Contains(err.Error(), "it was asked to fail") {
		t.Errorf("a child that fails: %v", err)
	}
}
