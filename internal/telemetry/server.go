package telemetry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
)

// ServerConfig is where and how to listen.
type ServerConfig struct {
	Address string // host:port or :port
	// CertFile and KeyFile make it HTTPS; both or neither.
	CertFile, KeyFile string
}

// ServerDeps is what a Server shows.
type ServerDeps struct {
	Log     *slog.Logger
	Metrics *prometheus.Registry
	Checks  []Check
	// Handler answers all paths but /healthz, /readyz and /metrics. May be nil.
	Handler http.Handler
}

// Server answers /healthz (the process lives), /readyz (all checks pass) and /metrics.
type Server struct {
	cfg  ServerConfig
	log  *slog.Logger
	http *http.Server
}

const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	// shutdownTimeout is what requests in flight get when the process ends.
	shutdownTimeout = 3 * time.Second
)

// NewServer builds the server; it listens in Run.
func NewServer(cfg ServerConfig, deps ServerDeps) *Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]bool{"ok": true})
	})
	mux.Handle("GET /readyz", &readiness{checks: deps.Checks, log: deps.Log})
	mux.Handle("GET /metrics", promhttp.HandlerFor(deps.Metrics, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(deps.Log.Handler(), slog.LevelError),
		MaxRequestsInFlight: 4,
		Registry:            deps.Metrics,
	}))
	if deps.Handler != nil {
		mux.Handle("/", deps.Handler)
	}
	return &Server{cfg: cfg, log: deps.Log, http: &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(deps.Log.Handler(), slog.LevelWarn),
	}}
}

// Run serves until ctx ends, then gives requests in flight a moment. It returns nil after a clean end.
func (s *Server) Run(ctx context.Context) error {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", s.cfg.Address)
	if err != nil {
		return fmt.Errorf("listen for HTTP on %s: %w", s.cfg.Address, err)
	}
	scheme := "http"
	if s.cfg.CertFile != "" {
		scheme = "https"
		certificate := &reloadedCertificate{certFile: s.cfg.CertFile, keyFile: s.cfg.KeyFile}
		if _, err := certificate.get(nil); err != nil {
			return errors.Join(err, listener.Close())
		}
		listener = tls.NewListener(listener, &tls.Config{GetCertificate: certificate.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}})
	}
	s.log.Info("serving", "address", scheme+"://"+listener.Addr().String())

	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { // ends by Shutdown below, or when the listener breaks
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve HTTP on %s: %w", s.cfg.Address, err)
		}
		return nil
	})
	group.Go(func() error { // ends with ctx, or when Serve failed
		<-groupCtx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := s.http.Shutdown(grace); err != nil {
			return s.http.Close() // cuts off whoever is still reading
		}
		return nil
	})
	return group.Wait()
}
