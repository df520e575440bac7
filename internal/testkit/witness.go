package testkit

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/tlog"
	_ "modernc.org/sqlite" // litewitness's database
)

// Witness is a litewitness of filippo.io/torchwood, which keeps what it has seen while it is stopped.
type Witness struct {
	URL  string
	VKey string

	t       testing.TB
	command []string
	db      string
	process *Process
}

// StartWitness builds litewitness, which go.mod names as a tool, and starts one that knows no log.
func StartWitness(t testing.TB, name string) *Witness {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "tool", "-n", "litewitness")
	build.Dir = Root(t)
	program, err := build.Output()
	if err != nil {
		t.Fatalf("build litewitness: %v", err)
	}
	_, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := torchwood.NewCosignatureSigner(name, secret)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(secret.Public())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	w := &Witness{URL: "http://" + address, VKey: signer.Verifier().String(), t: t, db: filepath.Join(t.TempDir(), "witness.db")}
	w.command = []string{
		strings.TrimSpace(string(program)), "-name", name, "-db", w.db, "-listen", address, "-ssh-agent", serveKey(t, secret), "-key", ssh.FingerprintSHA256(public),
	}
	w.Start()
	return w
}

// Start starts it again where it was stopped.
func (w *Witness) Start() {
	w.t.Helper()
	w.process = Start(w.t, exec.Command(w.command[0], w.command[1:]...))
	Eventually(w.t, 20*time.Second, func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.URL, "http://"))
		return err == nil && conn.Close() == nil
	}, "litewitness listens")
}

// Stop ends it.
func (w *Witness) Stop() { w.process.Kill9() }

// Pause has it answer nobody until Resume, while it takes connections.
func (w *Witness) Pause() { w.process.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (w *Witness) Resume() { w.process.signal(syscall.SIGCONT) }

// AddLog tells it of a log and one of the log's keys, as witnessctl does.
func (w *Witness) AddLog(origin, vkey string) {
	w.t.Helper()
	empty, err := tlog.TreeHash(0, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.exec(`INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)`, origin, base64.StdEncoding.EncodeToString(empty[:]))
	w.exec(`INSERT INTO key (origin, key) VALUES (?, ?)`, origin, vkey)
}

// Size is how many entries of a log it has cosigned.
func (w *Witness) Size(origin string) (size uint64) {
	w.t.Helper()
	db := w.open()
	defer db.Close()
	if err := db.QueryRowContext(context.Background(), `SELECT tree_size FROM log WHERE origin = ?`, origin).Scan(&size); err != nil {
		w.t.Fatal(err)
	}
	return size
}

func (w *Witness) exec(statement string, args ...any) {
	w.t.Helper()
	db := w.open()
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), statement, args...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *Witness) open() *sql.DB {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file:"+w.db+"?_pragma=busy_timeout(15000)")
	if err != nil {
		w.t.Fatal(err)
	}
	return db
}

// serveKey is an ssh-agent with one key. It returns the path of its socket.
func serveKey(t testing.TB, secret ed25519.PrivateKey) string {
	t.Helper()
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: secret}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent") // the paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { // ends when the listener is closed
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				t.Errorf("ssh-agent: %v", err)
				return
			}
			context.AfterFunc(ctx, func() { _ = conn.Close() })
			serving.Go(func() { _ = agent.ServeAgent(ring, conn) }) // ends with the connection
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		serving.Wait()
		_ = os.RemoveAll(dir)
	})
	return socket
}
