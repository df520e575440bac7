package services

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// completeMarker is written last into a folder of jars, so a download that was interrupted is not taken for whole.
const completeMarker = ".complete"

// Jars is an Apache Kafka in the cache.
type Jars struct {
	Version string
	Dir     string
}

// FindJars returns the jars that the pom pins, and fs.ErrNotExist if they were not fetched.
func FindJars(pom string) (Jars, error) {
	text, err := os.ReadFile(pom)
	if err != nil {
		return Jars{}, fmt.Errorf("read the pinned version of Kafka: %w", err)
	}
	version := regexp.MustCompile(`<kafka\.version>([0-9.]+)</kafka\.version>`).FindSubmatch(text)
	if version == nil {
		return Jars{}, fmt.Errorf("no kafka.version in %s", pom)
	}
	cache, err := CacheDir()
	if err != nil {
		return Jars{}, err
	}
	j := Jars{Version: string(version[1]), Dir: filepath.Join(cache, "kafka-"+string(version[1]))}
	marker, err := os.ReadFile(filepath.Join(j.Dir, completeMarker))
	if err == nil && !bytes.Equal(marker, digest(text)) {
		err = fs.ErrNotExist // fetched with another pom
	}
	if err != nil {
		return j, fmt.Errorf("the jars of Kafka %s are not in %s (make kafka-jars fetches them): %w", j.Version, j.Dir, err)
	}
	return j, nil
}

// FetchJars copies the jars through Maven, unless they are there. It needs the network then.
func FetchJars(ctx context.Context, pom string, progress io.Writer) (Jars, error) {
	j, err := FindJars(pom)
	if !errors.Is(err, fs.ErrNotExist) || j.Dir == "" {
		return j, err
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return j, errors.New("the tests need Apache Kafka, which needs Maven: install it (Debian: apt-get install maven)")
	}
	if err := os.MkdirAll(filepath.Dir(j.Dir), 0o755); err != nil {
		return j, err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(j.Dir), "kafka-*.tmp")
	if err != nil {
		return j, err
	}
	defer os.RemoveAll(fresh)
	fmt.Fprintf(progress, "fetching Apache Kafka %s from Maven Central into %s\n", j.Version, j.Dir)
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", pom, "dependency:copy-dependencies", "-DoutputDirectory="+fresh)
	cmd.Stdout, cmd.Stderr = progress, progress
	if err := cmd.Run(); err != nil {
		return j, fmt.Errorf("fetch the jars of Kafka %s through Maven: %w", j.Version, err)
	}
	text, err := os.ReadFile(pom)
	if err != nil {
		return j, err
	}
	if err := os.WriteFile(filepath.Join(fresh, completeMarker), digest(text), 0o644); err != nil {
		return j, err
	}
	if err := os.RemoveAll(j.Dir); err != nil {
		return j, err
	}
	if err := os.Rename(fresh, j.Dir); err != nil {
		return j, err
	}
	return j, os.Chmod(j.Dir, 0o755)
}

func digest(b []byte) []byte {
	sum := sha256.Sum256(b)
	return []byte(hex.EncodeToString(sum[:]) + "\n")
}
