// Package child is the little that a process and an engine that it runs as a child say to each
// other.
//
// The parent writes the configuration, one line of JSON, to the child's standard input and keeps
// that open: its end, also by the parent's death, ends the child. The child writes one line of JSON
// to standard output as soon as it serves ([Ready]). Secrets travel as names of files.
package child

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Ready is the child's line.
type Ready struct {
	Address string `json:"address"`
}

// maxConfigBytes bounds the configuration.
const maxConfigBytes = 1 << 20

// Serve is the child's side: it reads the configuration, calls run and ends its context when ctx
// ends or stdin does. run must return once its context has ended.
func Serve[C any](ctx context.Context, stdin io.Reader, stdout io.Writer, run func(ctx context.Context, cfg C, ready func(address string)) error) error {
	in := bufio.NewReaderSize(stdin, maxConfigBytes)
	line, err := in.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("read the configuration from standard input: %w", err)
	}
	var cfg C
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&cfg); err != nil {
		return fmt.Errorf("read the configuration from standard input: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with stdin, at the latest with the process: a read cannot be interrupted
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	return run(ctx, cfg, func(address string) {
		// A parent that does not listen is gone, which stdin will tell.
		_ = json.NewEncoder(stdout).Encode(Ready{Address: address})
	})
}

// ErrNotReady is a child that ended, or closed its output, before it served.
var ErrNotReady = errors.New("the child ended before it was ready: its standard error says why")

// Await is the parent's side: it reads the child's line. Closing stdout ends it.
func Await(stdout io.Reader) (Ready, error) {
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return Ready{}, ErrNotReady
	}
	if err != nil {
		return Ready{}, fmt.Errorf("wait for the child: %w", err)
	}
	var r Ready
	if err := json.Unmarshal(line, &r); err != nil {
		return Ready{}, fmt.Errorf("wait for the child: %w", err)
	}
	return r, nil
}

// WriteConfig is the parent's other half.
func WriteConfig(stdin io.Writer, cfg any) error {
	if err := json.NewEncoder(stdin).Encode(cfg); err != nil {
		return fmt.Errorf("send the child its configuration: %w", err)
	}
	return nil
}
