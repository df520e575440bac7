package engine

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"github.com/agentaudit/agentaudit/internal/durable"
)

// Names below Config.Dir.
const (
	storeDir   = "store"      // the engine's own
	configFile = "engine.xml" // written at each start
)

// configTemplate is the engine's server configuration. Giving one also keeps it from picking up
// files of the working directory, the home folder or /etc.
//
// default_database is empty on purpose: otherwise the engine lays a view of the file system over
// the database default, in which SELECT * FROM `/etc/passwd` reads that file.
var configTemplate = template.Must(template.New(configFile).Parse(`<clickhouse>
  <default_database></default_database>
  <max_server_memory_usage>{{.MaxMemoryBytes}}</max_server_memory_usage>
  <mark_cache_size>{{.MarkCacheBytes}}</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
</clickhouse>
`))

// prepareStore makes what the engine needs before its first start.
func prepareStore(c *Config) error {
	metadata := filepath.Join(c.Dir, storeDir, "metadata")
	if err := os.MkdirAll(metadata, 0o700); err != nil {
		return fmt.Errorf("prepare the engine's directory: %w", err)
	}
	if err := createDefaultDatabase(metadata); err != nil {
		return fmt.Errorf("prepare the engine's directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(c.Dir, configFile), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write the engine's configuration: %w", err)
	}
	defer f.Close()
	err = configTemplate.Execute(f, struct{ MaxMemoryBytes, MarkCacheBytes int64 }{c.MaxMemoryBytes, min(256<<20, c.MaxMemoryBytes/8)})
	if err != nil {
		return fmt.Errorf("write the engine's configuration: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write the engine's configuration: %w", err)
	}
	return nil
}

// createDefaultDatabase defines the database default as the engine itself would store it, an
// Atomic one. It has to exist before the first connection.
func createDefaultDatabase(metadata string) error {
	path := filepath.Join(metadata, "default.sql")
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // crypto/rand never fails: it ends the process instead
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	sql := fmt.Sprintf("ATTACH DATABASE _ UUID '%x-%x-%x-%x-%x'\nENGINE = Atomic\n", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	return durable.Create(path, []byte(sql))
}

// connectArgs start the engine, and give every connection the defaults of a server instead of
// those of the command line tool that the library was made from. Inserts are synchronous unless
// asked otherwise.
func (c *Config) connectArgs() []string {
	return []string{
		"--path=" + filepath.Join(c.Dir, storeDir),
		"--config-file=" + filepath.Join(c.Dir, configFile),
		"--database=default",
		"--async_insert=0",
		"--implicit_select=0",
		"--allow_introspection_functions=0",
		"--storage_file_read_method=pread",
	}
}
