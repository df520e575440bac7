package offline

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// write makes a folder of a fixture's files.
func (f *fixture) write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for path, content := range f.files {
		path = filepath.Join(dir, theLog, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A folder comes from somebody who may want more than to show a log: nothing outside of it is read, and nothing in it is waited for.
func TestFolder(t *testing.T) {
	f := newFixture(t, 300)
	dir := f.write(t)
	folder, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if err := os.Mkdir(filepath.Join(dir, "agent.events", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "agent.events", "x", "checkpoint"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if logs, err := folder.Logs(); err != nil || !slices.Equal(logs, []string{theLog}) {
		t.Errorf("logs %v, %v", logs, err)
	}
	check := func() (Report, error) {
		t.Helper()
		return Check(t.Context(), folder.Log(theLog), theLog, Options{Keys: f.keys})
	}
	if report, err := check(); err != nil || report.FirstBad != nil || report.Size != 300 {
		t.Fatalf("%+v, %v", report, err)
	}

	tile := filepath.Join(dir, theLog, "tile", "0", "000")
	place := chain.TilePlace{Width: chain.TileWidth}.Path()
	outside := filepath.Join(t.TempDir(), "tile")
	if err := os.WriteFile(outside, f.files[place], 0o600); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func() error{
		"a pipe":                 func() error { return syscall.Mkfifo(tile, 0o600) },
		"a folder":               func() error { return os.Mkdir(tile, 0o700) },
		"a link to the outside":  func() error { return os.Symlink(outside, tile) },
		"a relative link to it":  func() error { return os.Symlink("../../../../../"+filepath.Base(filepath.Dir(outside))+"/tile", tile) },
		"a link to a device":     func() error { return os.Symlink("/dev/zero", tile) },
		"a link that has no end": func() error { return os.Symlink("000", tile) },
	} {
		if err := os.RemoveAll(tile); err != nil {
			t.Fatal(err)
		}
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if report, err := check(); err == nil && report.FirstBad == nil {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
	}
}
