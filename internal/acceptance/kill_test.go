package acceptance

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/up/uptest"
)

// kills is how often each process is killed.
const kills = 20

// TestKillUnderLoad kills ingest, the ClickHouse engine, the broker and the exporter,
// twenty times each, while events pour in.
func TestKillUnderLoad(t *testing.T) {
	for _, child := range []string{"ingest", "clickhouse", "kafka", "exporter"} {
		t.Run(child, func(t *testing.T) {
			u := uptest.Start(t, "")
			l := newLoad(t, u)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { // ends with ctx
				defer close(done)
				l.run(ctx)
			}()
			for round := range kills {
				before := number(t, u, "SELECT count() FROM events")
				pid := u.Endpoints(t).Pids[child]
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				u.AwaitRestart(t, child, pid)
				// Each kill meets a system at work: entries are stored again before the next.
				testkit.Eventually(t, time.Minute, func() bool {
					r := u.Run(t, "", "query", fmt.Sprintf("SELECT count() > %d FROM events", before), "--format", "TabSeparated")
					return r.Code == 0 && r.Stdout == "1\n"
				}, fmt.Sprintf("entries are stored after kill %d of %s", round+1, child))
			}
			cancel()
			<-done
			l.check(t, u)
		})
	}
}

// TestTwoIngestProcesses runs a second ingest beside the one of `up`, stops each in
// turn for longer than its session lasts, and wakes it up again.
func TestTwoIngestProcesses(t *testing.T) {
	u := uptest.Start(t, "")
	l := newLoad(t, u)
	cmd := exec.Command(filepath.Join(uptest.Binaries(t), "ingest"), "--config", filepath.Join(u.Dir, "config.yaml"), "--set", "http.ingest="+freeAddress(t))
	second := testkit.Start(t, cmd)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		l.run(ctx)
	}()
	first := u.Endpoints(t).Pids["ingest"]
	for round := range 4 {
		pid := first
		if round%2 == 1 {
			pid = second.Pid()
		}
		before := number(t, u, "SELECT count() FROM events")
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		stopped := time.Now()
		// The session lasts 6 s; then the other one takes over.
		testkit.Eventually(t, time.Minute, func() bool {
			return time.Since(stopped) > 9*time.Second && number(t, u, "SELECT count() FROM events") > before
		}, "the other process goes on")
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	<-done
	l.check(t, u)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// noSpace is what ClickHouse says of a full disk, by itself or in the system's words.
var noSpace = regexp.MustCompile(`NOT_ENOUGH_SPACE|No space left|not enough space`)

// TestFullDisk lets the store's disk run full under load and gives it room again.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	clickhouse := filepath.Join(dir, "clickhouse")
	mount(t, clickhouse, "48m")
	u := uptest.Start(t, dir)
	l := newLoad(t, u)
	testkit.Eventually(t, 2*time.Minute, func() bool {
		if err := l.send(t.Context(), 4000); err != nil {
			t.Fatal(err)
		}
		log, err := os.ReadFile(filepath.Join(dir, "logs", "ingest.log"))
		if err != nil {
			t.Fatal(err)
		}
		return noSpace.Match(log)
	}, "ingest is told that the disk is full")
	if err := l.send(t.Context(), 4000); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "remount,size=512m", clickhouse).CombinedOutput(); err != nil {
		t.Fatalf("remount: %v %s", err, out)
	}
	l.check(t, u)
	u.Stop(t)
}

// mount puts a small file system of its own at dir.
func mount(t *testing.T, dir, size string) {
	t.Helper()
	if out, err := exec.Command("mkdir", "-p", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "agentaudit-test", dir).CombinedOutput(); err != nil {
		testkit.Missing(t, fmt.Sprintf("cannot mount a small disk (needs root): %v %s", err, out))
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
}
