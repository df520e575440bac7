package config

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
)

// ByteSize is a number of bytes, written 1048576, 1024KiB, 1MiB or 1.5GiB (KB, MB and GB are powers of 1000).
type ByteSize int64

var byteUnits = []struct {
	suffix string
	factor float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// UnmarshalText reads what the type's comment says.
func (b *ByteSize) UnmarshalText(text []byte) error {
	for _, unit := range byteUnits {
		digits, ok := strings.CutSuffix(string(text), unit.suffix)
		if !ok {
			continue
		}
		number, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || !(number >= 0 && number*unit.factor <= 1<<60) { // not NaN either
			break
		}
		*b = ByteSize(number * unit.factor)
		return nil
	}
	return fmt.Errorf("not a size such as 64MiB")
}

// String writes the size with the largest unit that divides it.
func (b ByteSize) String() string {
	for i := 3; i >= 0; i-- {
		unit := byteUnits[i]
		if b != 0 && b%ByteSize(unit.factor) == 0 {
			return strconv.FormatInt(int64(b)/int64(unit.factor), 10) + unit.suffix
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalText writes what UnmarshalText reads.
func (b ByteSize) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// Path names a file. Relative ones from the configuration file are made relative to its folder.
type Path string

func (p Path) from(folder string) Path {
	if p == "" || filepath.IsAbs(string(p)) {
		return p
	}
	return Path(filepath.Join(folder, string(p)))
}

// KeySource says where the keyring is: file:PATH or env:NAME.
type KeySource string

func (k KeySource) from(folder string) KeySource {
	if path, ok := strings.CutPrefix(string(k), "file:"); ok {
		return KeySource("file:" + string(Path(path).from(folder)))
	}
	return k
}

// Secret is a value that is never printed, whichever way it is formatted.
type Secret string

const withheld = "(withheld)"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String withholds the secret, and so do the other ways to print one.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return withheld
}

// GoString is for %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue is for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is for YAML and JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
