package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// Config is one embedded engine.
type Config struct {
	// Library is the path of libchdb.so. Empty: the fetched one (LibraryPath).
	Library string `json:"library,omitempty"`
	// Dir holds everything that the engine stores. One process at a time owns it.
	Dir string `json:"dir"`
	// Listen is host:port; port 0 takes a free one. The interface speaks plain HTTP, so only
	// loopback addresses are accepted.
	Listen string `json:"listen"`
	// User and the first line of PasswordFile are the only account.
	User         string `json:"user"`
	PasswordFile string `json:"password_file"`
	// MaxMemoryBytes bounds what the engine allocates (ClickHouse's max_server_memory_usage); its
	// process needs about 300 MB more. At least 512 MiB.
	MaxMemoryBytes int64 `json:"max_memory_bytes,omitempty"`

	// Ready is called once with the address, as soon as requests are answered.
	Ready func(address string) `json:"-"`
	// Log receives what happens; nil discards it. It holds neither SQL nor data.
	Log *slog.Logger `json:"-"`
}

const (
	// DefaultMaxMemoryBytes suits a machine that also runs everything else.
	DefaultMaxMemoryBytes = 2 << 30
	minMemoryBytes        = 512 << 20
)

// withDefaults fills what may be left out and refuses the rest.
func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("engine.dir: must not be empty")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return c, fmt.Errorf("engine.dir: %w", err)
	}
	c.Dir = dir
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return c, fmt.Errorf("engine.listen: %q is not host:port", c.Listen)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return c, fmt.Errorf("engine.listen: %q is not a loopback address: the interface is not encrypted", c.Listen)
	}
	if c.User == "" {
		return c, errors.New("engine.user: must not be empty")
	}
	if c.MaxMemoryBytes == 0 {
		c.MaxMemoryBytes = DefaultMaxMemoryBytes
	}
	if c.MaxMemoryBytes < minMemoryBytes {
		return c, fmt.Errorf("engine.max_memory_bytes: %d is below %d", c.MaxMemoryBytes, minMemoryBytes)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func readPassword(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("engine.password_file: %w", err)
	}
	password, _, _ := strings.Cut(string(b), "\n")
	password = strings.TrimSuffix(password, "\r")
	if password == "" {
		return "", fmt.Errorf("engine.password_file: the first line of %s is empty", path)
	}
	return password, nil
}
