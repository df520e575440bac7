package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/dirlock"
	"github.com/agentaudit/agentaudit/internal/engine/clickhttp"
	"github.com/agentaudit/agentaudit/internal/engine/libchdb"
)

const (
	// shutdownTimeout is how long statements may go on after ctx has ended; then they are killed.
	shutdownTimeout = 3 * time.Second
	// cutTimeout is how long killed statements may take to answer; then connections are closed.
	cutTimeout = time.Second
)

// Run serves until ctx ends, then lets statements finish, closes the engine and returns nil. It
// may be called once in a process: the engine does not start a second time.
func Run(ctx context.Context, cfg Config) (err error) {
	cfg, err = cfg.withDefaults()
	if err != nil {
		return err
	}
	password, err := readPassword(cfg.PasswordFile)
	if err != nil {
		return err
	}
	if cfg.Library == "" {
		if cfg.Library, err = LibraryPath(""); err != nil {
			return err
		}
	}
	lock, err := dirlock.Take(cfg.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if err := prepareStore(&cfg); err != nil {
		return err
	}

	// The address is taken before the engine starts: it is the step that fails most.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("engine.listen: %w", err)
	}
	defer listener.Close()

	started := time.Now()
	library, err := libchdb.Load(cfg.Library)
	if err != nil {
		return err
	}
	front := clickhttp.DefaultConfig()
	front.User, front.Password = cfg.User, password
	server, err := clickhttp.New(front, clickhttp.Deps{Library: library, ConnectArgs: cfg.connectArgs(), Log: cfg.Log})
	if err != nil {
		return fmt.Errorf("start the engine in %s: %w", cfg.Dir, err)
	}
	cfg.Log.Info("engine started", slog.String("version", server.Version()), slog.String("address", listener.Addr().String()),
		slog.String("dir", cfg.Dir), slog.Int64("max_memory_bytes", cfg.MaxMemoryBytes), slog.Duration("took", time.Since(started)))
	if cfg.Ready != nil {
		cfg.Ready(listener.Addr().String())
	}
	err = serve(ctx, listener, server, cfg.Log)
	server.Close()
	cfg.Log.Info("engine closed")
	return err
}

// serve answers requests until ctx ends.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	hs := &http.Server{
		Handler:           handler,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    8 << 20, // statements may stand in the URL
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	var g errgroup.Group
	stop := make(chan struct{})
	g.Go(func() error { // ends with ctx or when Serve has failed
		select {
		case <-ctx.Done():
		case <-stop:
		}
		return shutdown(hs, cut)
	})
	err := hs.Serve(listener)
	close(stop)
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, g.Wait())
}

// shutdown lets requests finish for a while, then kills their statements and cuts what is left. The
// handlers themselves are awaited by the server's Close.
func shutdown(hs *http.Server, cut context.CancelFunc) error {
	grace, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if hs.Shutdown(grace) == nil {
		return nil
	}
	cut()
	answered, cancel := context.WithTimeout(context.Background(), cutTimeout)
	defer cancel()
	if hs.Shutdown(answered) == nil {
		return nil
	}
	if err := hs.Close(); err != nil {
		return fmt.Errorf("stop the engine's HTTP interface: %w", err)
	}
	return nil
}
