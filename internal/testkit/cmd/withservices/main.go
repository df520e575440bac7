// Command withservices runs a command, usually the tests, with real servers beside it: Apache Kafka, PostgreSQL and the embedded ClickHouse.
// It names them in the environment (package testkit has the names), stops them at the end and passes the command's exit code on. A
// server whose variable is set already is not started.
//
//	withservices [-pom FILE] COMMAND [ARGUMENT …]
//	withservices -fetch-kafka    fetches Kafka's jars into the cache, if they are not there
//	withservices -install        installs what the tests need besides (apt-get), or names it
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/agentaudit/agentaudit/internal/engine/enginetest"
	"github.com/agentaudit/agentaudit/internal/testkit/services"
)

func main() {
	pom := flag.String("pom", filepath.FromSlash("internal/testkit/kafka/pom.xml"), "the pom that pins Kafka's version")
	fetch := flag.Bool("fetch-kafka", false, "fetch Kafka's jars and end")
	install := flag.Bool("install", false, "install what the tests need and end")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()

	code, err := 0, error(nil)
	switch {
	case *fetch:
		_, err = services.FetchJars(ctx, *pom, os.Stderr)
	case *install:
		err = services.InstallDependencies(ctx, os.Stderr)
	case flag.NArg() == 0:
		err = errors.New("no command to run")
	default:
		code, err = run(ctx, *pom, flag.Args())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "withservices:", err)
		code = max(code, 2)
	}
	os.Exit(code)
}

// run starts the servers, runs the command and returns its exit code.
func run(ctx context.Context, pom string, command []string) (code int, err error) {
	dir, err := os.MkdirTemp("", "agentaudit-services-")
	if err != nil {
		return 0, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL runs as another user
		return 0, err
	}
	set := &running{dir: dir}
	defer func() {
		err = errors.Join(err, set.stop(), os.RemoveAll(dir))
	}()
	began := time.Now()
	for _, start := range []func(context.Context, string) error{set.kafka, set.postgres, set.clickhouse} {
		if err := start(ctx, pom); err != nil {
			return 0, err
		}
	}
	fmt.Fprintf(os.Stderr, "withservices: servers are ready after %.1f s\n", time.Since(began).Seconds())

	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), set.env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil // -1: by a signal
	}
	return 0, err
}

// running are the servers that were started, and the variables that name them.
type running struct {
	dir   string
	env   []string
	stops []func() error
}

func (r *running) stop() error {
	var errs []error
	for i := len(r.stops) - 1; i >= 0; i-- {
		errs = append(errs, r.stops[i]())
	}
	return errors.Join(errs...)
}

func (r *running) kafka(ctx context.Context, pom string) error {
	if os.Getenv("AGENTAUDIT_TEST_KAFKA") != "" {
		return nil
	}
	jars, err := services.FindJars(pom)
	if err != nil {
		return err
	}
	kafka, err := services.StartKafka(ctx, jars, filepath.Join(r.dir, "kafka"))
	if err != nil {
		return err
	}
	r.stops = append(r.stops, kafka.Stop)
	r.env = append(r.env, "AGENTAUDIT_TEST_KAFKA="+kafka.Addr)
	return nil
}

func (r *running) postgres(ctx context.Context, _ string) error {
	if os.Getenv("AGENTAUDIT_TEST_POSTGRES") != "" {
		return nil
	}
	postgres, err := services.StartPostgres(ctx, filepath.Join(r.dir, "postgres"))
	if err != nil {
		return err
	}
	r.stops = append(r.stops, postgres.Stop)
	r.env = append(r.env, "AGENTAUDIT_TEST_POSTGRES="+postgres.DSN)
	return nil
}

func (r *running) clickhouse(context.Context, string) error {
	if os.Getenv("AGENTAUDIT_TEST_CLICKHOUSE") != "" {
		return nil
	}
	scratch := filepath.Join(r.dir, "clickhouse")
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return err
	}
	engine, err := enginetest.Launch(enginetest.Options{}, scratch)
	if err != nil {
		return fmt.Errorf("start the embedded ClickHouse (make engine fetches it): %w", err)
	}
	r.stops = append(r.stops, engine.Stop)
	r.env = append(r.env, "AGENTAUDIT_TEST_CLICKHOUSE="+engine.URL,
		"AGENTAUDIT_TEST_CLICKHOUSE_USER="+engine.User, "AGENTAUDIT_TEST_CLICKHOUSE_PASSWORD="+engine.Password)
	return nil
}
