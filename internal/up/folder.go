// Package up runs everything on one machine: the Kafka-protocol broker, the
// ClickHouse engine and our three processes, as supervised children on loopback,
// with their data, generated credentials and logs in one folder.
package up

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/agentaudit/agentaudit/internal/process"
)

// Folder is where an `up` keeps everything.
type Folder string

// What is in the folder.
func (f Folder) config() string      { return filepath.Join(string(f), process.ConfigFile) }
func (f Folder) endpoints() string   { return filepath.Join(string(f), EndpointsFile) }
func (f Folder) kafka() string       { return filepath.Join(string(f), "kafka") }
func (f Folder) clickhouse() string  { return filepath.Join(string(f), "clickhouse") }
func (f Folder) logs() string        { return filepath.Join(string(f), "logs") }
func (f Folder) secrets() string     { return filepath.Join(string(f), "secrets") }
func (f Folder) password() string    { return filepath.Join(f.secrets(), "clickhouse_password") }
func (f Folder) authorKey() string   { return filepath.Join(f.secrets(), "exporter.key") }
func (f Folder) detectorKey() string { return filepath.Join(f.secrets(), "detector.key") }
func (f Folder) signingKeys() string { return filepath.Join(f.secrets(), "checkpoint-keys") }
func (f Folder) adminKey() string    { return filepath.Join(f.secrets(), "admin.key") }
func (f Folder) exports() string     { return filepath.Join(string(f), "exports") }
func (f Folder) keyring() string     { return filepath.Join(f.secrets(), "keyring") }

// make makes the folders, for our user only. A folder that holds somebody else's files is refused: its mode would
// be changed and ours be strewn among them.
func (f Folder) make() error {
	if err := f.mustBeOurs(); err != nil {
		return err
	}
	for _, dir := range []string{string(f), f.kafka(), f.clickhouse(), f.logs(), f.secrets(), f.exports()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the folder: %w", err)
		}
		// A folder that was there keeps its mode in MkdirAll.
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("keep others out of the folder: %w", err)
		}
	}
	return nil
}

// mustBeOurs accepts a folder that is not there yet, is empty, or was begun by an earlier up.
func (f Folder) mustBeOurs() error {
	if _, err := os.Stat(f.config()); err == nil {
		return nil
	}
	entries, err := os.ReadDir(string(f))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look into the folder: %w", err)
	}
	for _, entry := range entries {
		switch entry.Name() {
		case "LOCK", "kafka", "clickhouse", "logs", "secrets", "exports", "config.yaml.new", "lost+found":
		default:
			if strings.HasPrefix(entry.Name(), ".config.yaml.") { // a write that was cut off
				continue
			}
			return fmt.Errorf("%s holds other files, such as %s: name a new or empty folder", string(f), entry.Name())
		}
	}
	return nil
}
