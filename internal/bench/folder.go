package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/agentaudit/agentaudit/internal/broker"
	"github.com/agentaudit/agentaudit/internal/child"
	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/engine"
)

// folder is a folder of `agentaudit up` whose programs are run one by one.
type folder struct {
	bin, dir string
	cfg      config.Config
}

// newFolder lets `agentaudit up` make a folder, with topics and tables, and ends it again.
func newFolder(ctx context.Context, bin, dir string) (*folder, error) {
	f := &folder{bin: bin, dir: dir}
	up, err := f.start(ctx, "agentaudit", nil, "up", "--data", dir)
	if err != nil {
		return nil, err
	}
	err = f.await(ctx, up, "endpoints.json", func() bool {
		_, err := os.Stat(filepath.Join(dir, "endpoints.json"))
		return err == nil
	})
	if err = errors.Join(err, up.stop()); err != nil {
		return nil, err
	}
	f.cfg, err = config.Load(config.Sources{File: filepath.Join(dir, "config.yaml")})
	return f, err
}

// running is a program that was started.
type running struct {
	cmd   *exec.Cmd
	stdin io.Closer
	log   string
	done  chan struct{}
	err   error // valid once done is closed
	once  sync.Once
}

func (r *running) pid() int { return r.cmd.Process.Pid }

// stop ends the program as a user would.
func (r *running) stop() error {
	r.once.Do(func() {
		_ = r.cmd.Process.Signal(syscall.SIGTERM) // fails if it has ended, which is what is wanted
		if r.stdin != nil {
			_ = r.stdin.Close()
		}
		select {
		case <-r.done:
		case <-time.After(20 * time.Second):
			_ = r.cmd.Process.Kill()
			<-r.done
		}
	})
	return r.err
}

// start starts a program of bin. config, if any, goes to its standard input.
func (f *folder) start(ctx context.Context, name string, cfg any, args ...string) (*running, error) {
	path, err := filepath.Abs(filepath.Join(f.bin, name))
	if err != nil {
		return nil, err
	}
	r := &running{cmd: exec.CommandContext(ctx, path, args...), done: make(chan struct{})}
	log, err := os.CreateTemp("", "agentaudit-bench-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	r.log = log.Name()
	r.cmd.Stderr = log
	if cfg != nil {
		in, err := r.cmd.StdinPipe()
		if err != nil {
			return nil, err
		}
		r.stdin = in
		defer func() { _ = child.WriteConfig(in, cfg) }() // a program that does not read it ends, which await notices
	} else {
		r.cmd.Stdout = log
	}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the program
		r.err = r.cmd.Wait()
		close(r.done)
	}()
	return r, nil
}

// await polls until the condition holds.
func (f *folder) await(ctx context.Context, r *running, what string, holds func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-r.done:
			return fmt.Errorf("%s ended before %s: see %s", r.cmd.Path, what, r.log)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (f *folder) startBroker(ctx context.Context) (*running, error) {
	r, err := f.start(ctx, "agentaudit", broker.Config{Dir: filepath.Join(f.dir, "kafka"), Listen: f.cfg.Kafka.Brokers[0], Partitions: f.cfg.Kafka.Partitions}, "broker-child")
	if err != nil {
		return nil, err
	}
	client, err := f.kafka()
	if err != nil {
		return nil, errors.Join(err, r.stop())
	}
	defer client.Close()
	return r, f.await(ctx, r, "the broker answers", func() bool { return client.Ping(ctx) == nil })
}

func (f *folder) startEngine(ctx context.Context) (*running, error) {
	address := f.cfg.ClickHouse.Addresses[0]
	r, err := f.start(ctx, "agentaudit", engine.Config{
		Dir: filepath.Join(f.dir, "clickhouse"), Listen: strings.TrimPrefix(address, "http://"), User: f.cfg.ClickHouse.User,
		PasswordFile: string(f.cfg.ClickHouse.PasswordFile), MaxMemoryBytes: int64(f.cfg.Embedded.ClickHouseMemory),
	}, "engine-child")
	if err != nil {
		return nil, err
	}
	return r, f.await(ctx, r, "the engine answers", func() bool { _, err := get(ctx, address+"/ping"); return err == nil })
}

// startProcess starts one of our processes.
func (f *folder) startProcess(ctx context.Context, name string) (*running, error) {
	return f.start(ctx, name, nil, "--config", filepath.Join(f.dir, "config.yaml"))
}

// get fetches a page of one of the programs.
func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, res.Status)
	}
	return io.ReadAll(res.Body)
}
