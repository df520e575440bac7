package services

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

func TestPostgres(t *testing.T) {
	dir, err := os.MkdirTemp("", "postgres-test-") // t.TempDir is below a folder that only we may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p, err := StartPostgres(t.Context(), dir)
	if errors.Is(err, ErrNoPostgres) {
		testkit.Missing(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), p.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE SCHEMA s"); err != nil {
		t.Error(err)
	}
	pid := p.server.cmd.Process.Pid
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the server is still there: %v", err)
	}
}

// A download that broke off, or one made with another pom, is not taken for the jars.
func TestFindJarsWantsAWholeDownload(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("AGENTAUDIT_CACHE", cache)
	pom := filepath.Join(t.TempDir(), "pom.xml")
	text := []byte("<x><kafka.version>4.9.9</kafka.version></x>")
	if err := os.WriteFile(pom, text, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "kafka-4.9.9")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := FindJars(pom); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "make kafka-jars") {
		t.Errorf("without a marker: %v", err)
	}
	marker := filepath.Join(dir, completeMarker)
	if err := os.WriteFile(marker, digest([]byte("another pom")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := FindJars(pom); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("with the marker of another pom: %v", err)
	}
	if err := os.WriteFile(marker, digest(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if j, err := FindJars(pom); err != nil || j.Dir != dir || j.Version != "4.9.9" {
		t.Errorf("got %+v, %v", j, err)
	}
	if j, err := FetchJars(t.Context(), pom, io.Discard); err != nil || j.Dir != dir {
		t.Errorf("fetched again: %+v, %v", j, err)
	}
}
