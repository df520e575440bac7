package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"

	"github.com/ClickHouse/ch-go/proto"
)

// Store reads and extends the tables of one ClickHouse database. It is safe for concurrent use.
type Store struct {
	cfg        Config
	events     string // the tables' names as they stand in SQL
	tiles      string
	alerts     string
	transport  *http.Transport
	servers    []*server
	nextServer atomic.Uint32 // where openSession begins
}

// Open checks cfg and that a server answers. It creates nothing; see Migrate.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	transport, err := newTransport(cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, events: cfg.Database + ".events", tiles: cfg.Database + ".tiles", alerts: cfg.Database + ".alerts", transport: transport}
	client := &http.Client{Transport: transport, CheckRedirect: noRedirect}
	for _, address := range cfg.Addresses {
		base, err := url.Parse(address)
		if err != nil {
			return nil, errors.New("clickhouse addresses: not an address") // Validate has parsed it
		}
		s.servers = append(s.servers, &server{base: base, client: client, user: cfg.User, secret: cfg.Password})
	}
	if err := s.Ping(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// noRedirect takes a redirection for the answer, which is then none of ClickHouse's: an
// insert must not reach another server than its session.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Close gives up idle connections.
func (s *Store) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// Ping asks whether a server answers queries and takes our password.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	return s.read(ctx, func(at *server) error {
		var one proto.ColUInt8
		return at.readNative(ctx, "SELECT 1 AS one FORMAT Native", params{}, proto.Results{{Name: "one", Data: &one}}, func(int) error { return nil })
	})
}

// read calls step with the first server that can be reached.
func (s *Store) read(ctx context.Context, step func(*server) error) error {
	var failures []error
	for _, at := range s.servers {
		err := step(at)
		if err == nil || !notSent(err) || ctx.Err() != nil {
			return err
		}
		failures = append(failures, err)
	}
	return fmt.Errorf("no clickhouse server can be reached: %w", errors.Join(failures...))
}

// readParams are the settings of our own queries.
func (s *Store) readParams() params {
	return params{"max_execution_time": strconv.Itoa(int(s.cfg.QueryTimeout.Seconds()))}
}

// catchUp makes a replica fetch all that other replicas have acknowledged, so that a
// head read from it is the log's head.
func (s *Store) catchUp(ctx context.Context, at *server, p params) error {
	if s.cfg.Cluster == "" {
		return nil
	}
	resp, err := at.ask(ctx, "SYSTEM SYNC REPLICA "+s.events+" LIGHTWEIGHT", p)
	if err != nil {
		return fmt.Errorf("wait for replica: %w", err)
	}
	return resp.Body.Close()
}

// InsertsInFlight counts the inserts into log that any server of the store is working on.
func (s *Store) InsertsInFlight(ctx context.Context, log string) (int, error) {
	processes := "system.processes"
	if s.cfg.Cluster != "" {
		processes = "clusterAllReplicas('" + s.cfg.Cluster + "', system.processes)"
	}
	// The embedded engine writes a mark of its own before ours.
	sql := "SELECT count() AS inserts FROM " + processes + " WHERE endsWith(Settings['log_comment'], {comment:String}) FORMAT Native"
	var inserts proto.ColUInt64
	err := s.read(ctx, func(at *server) error {
		p := s.readParams().with(params{"param_comment": s.insertComment(log)})
		return at.readNative(ctx, sql, p, proto.Results{{Name: "inserts", Data: &inserts}}, func(int) error { return nil })
	})
	if err != nil {
		return 0, fmt.Errorf("look for running inserts into %s: %w", log, err)
	}
	return int(inserts.Row(0)), nil
}
