package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/durable"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/telemetry"
	"github.com/agentaudit/agentaudit/internal/vault"
)

// Exit codes of all our programs.
const (
	ExitGood   = 0
	ExitNo     = 1 // the answer is no; of a long-running process: it failed while running, start it again
	ExitFailed = 2 // it could not be done, and will not be by trying again
)

// Spec describes a long-running process.
type Spec struct {
	Name   string
	Help   string
	Listen func(config.Config) string          // where it serves its health and metrics
	Memory func(config.Config) config.ByteSize // its memory_limit
	// Build opens what the process needs. Its ctx ends when the process is told to.
	Build func(ctx context.Context, base Base) (*Process, error)
}

// Base is what each process has.
type Base struct {
	Config  config.Config
	Log     *slog.Logger
	Metrics *prometheus.Registry
}

// Process is a built process.
type Process struct {
	Run     func(ctx context.Context) error // returns after its last goroutine; nil when ctx ended
	Close   func() error                    // after Run; may be nil
	Checks  []telemetry.Check               // of /readyz
	Handler http.Handler                    // what it serves besides; may be nil
}

// Main is the main function of a long-running process: it reads the configuration, builds and runs the process
// until SIGINT or SIGTERM, and returns the exit code. Errors are one line on stderr.
func Main(spec Spec, args, environ []string, stdout, stderr io.Writer) int {
	var flags struct {
		Flags
		Version kong.VersionFlag `help:"Print the version and end."`
	}
	code, done := Parse(spec.Name, spec.Help, &flags, args, stdout, stderr)
	if done {
		return code
	}
	cfg, err := flags.Load(environ)
	if err != nil {
		return Fail(stderr, spec.Name, err)
	}
	log, err := telemetry.NewLogger(telemetry.LogConfig{Level: cfg.Log.Level, Format: cfg.Log.Format}, spec.Name, stderr)
	if err != nil {
		return Fail(stderr, spec.Name, err)
	}
	limit := telemetry.LimitMemory(int64(spec.Memory(cfg)))
	log.Info("starting", "version", telemetry.ReadBuild().Version, "deployment", cfg.Deployment, "pid", os.Getpid(), "heap_limit_bytes", limit)

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// From the first signal on a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	if err := run(ctx, spec, Base{Config: cfg, Log: log, Metrics: telemetry.NewRegistry()}); err != nil {
		log.Error("ended", "error", err)
		return exitCode(err)
	}
	log.Info("ended")
	return ExitGood
}

// Mistake is an error of Build that starting again does not mend.
type Mistake struct{ Err error }

// Error implements error.
func (m Mistake) Error() string { return m.Err.Error() }

// Unwrap returns the error itself.
func (m Mistake) Unwrap() error { return m.Err }

// exitCode tells what starting again may mend from what it cannot: a topic that is set up so that records get lost, and what somebody must do to this
// machine first. A service manager that starts a process for ever tells nobody that a file is missing.
func exitCode(err error) int {
	var refused *kafkaio.PolicyError
	var mistake Mistake
	if errors.As(err, &refused) || errors.As(err, &mistake) {
		return ExitFailed
	}
	return ExitNo
}

// judge marks what somebody must mend among the errors of Build: files that the configuration names and that are missing, unreadable or open to others, and a
// keyring that is not the vault's. A socket that is not there is none of these: its server may be about to start.
func judge(err error) error {
	var file *fs.PathError
	if errors.As(err, &file) && (errors.Is(file, fs.ErrNotExist) || errors.Is(file, fs.ErrPermission)) ||
		errors.Is(err, durable.ErrExposed) || errors.Is(err, vault.ErrWrongKeyring) {
		return Mistake{err}
	}
	return err
}

func run(ctx context.Context, spec Spec, base Base) (err error) {
	process, err := spec.Build(ctx, base)
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to end while it was starting
		}
		return fmt.Errorf("start: %w", judge(err))
	}
	if process.Close != nil {
		defer func() { err = errors.Join(err, process.Close()) }()
	}
	server := telemetry.NewServer(
		telemetry.ServerConfig{
			Address:  spec.Listen(base.Config),
			CertFile: string(base.Config.HTTP.TLS.CertFile),
			KeyFile:  string(base.Config.HTTP.TLS.KeyFile),
		},
		telemetry.ServerDeps{Log: base.Log, Metrics: base.Metrics, Checks: process.Checks, Handler: process.Handler},
	)
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Run(groupCtx) }) // ends with the context
	group.Go(func() error {                                // ends with the context or by failing
		err := process.Run(groupCtx)
		if err == nil && groupCtx.Err() == nil {
			return errors.New("stopped without being told to")
		}
		return err
	})
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
