package clickhttp

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agentaudit/agentaudit/internal/engine/libchdb"
)

// tagSetting marks the statements of one connection in system.processes, so that they can be
// killed. The setting itself does nothing here: it selects server logs for the native protocol.
const tagSetting = "send_logs_source_regexp"

// killEvery is how often a statement whose client has gone is killed again: a KILL that comes
// before the statement is registered does nothing.
const killEvery = 100 * time.Millisecond

// pool opens connections and keeps idle ones by their settings.
type pool struct {
	deps    Deps
	slots   chan struct{} // one element for each statement that runs
	waiting atomic.Int64
	cfg     *Config
	serial  atomic.Int64

	mu     sync.Mutex
	idle   map[string][]*conn // by settings.key; each list oldest first
	idleN  int
	closed bool

	adminMu sync.Mutex
	admin   *libchdb.Conn // for KILL
}

// conn is a connection with the settings of its key.
type conn struct {
	*libchdb.Conn
	tag      string
	key      string
	lastUsed time.Time
}

func newPool(cfg *Config, deps Deps) (*pool, error) {
	p := &pool{deps: deps, cfg: cfg, slots: make(chan struct{}, cfg.MaxStatements), idle: map[string][]*conn{}}
	admin, err := deps.Library.Connect(deps.ConnectArgs...)
	if err != nil {
		return nil, err
	}
	p.admin = admin
	return p, nil
}

// enter waits for one of the places to run a statement; leave gives it back.
func (p *pool) enter(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	default:
	}
	if p.waiting.Add(1) > int64(p.cfg.MaxWaiting) {
		p.waiting.Add(-1)
		return exception(codeTooManyQueries, "TOO_MANY_SIMULTANEOUS_QUERIES", "Too many simultaneous queries: %d run and %d wait", p.cfg.MaxStatements, p.cfg.MaxWaiting)
	}
	defer p.waiting.Add(-1)
	timeout := time.NewTimer(p.cfg.WaitTimeout)
	defer timeout.Stop()
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout.C:
		return exception(codeTooManyQueries, "TOO_MANY_SIMULTANEOUS_QUERIES", "Too many simultaneous queries: no place after %s", p.cfg.WaitTimeout)
	}
}

func (p *pool) leave() { <-p.slots }

// take returns an idle connection with these settings or opens one.
func (p *pool) take(s *settings) (*conn, error) {
	if c := p.takeIdle(s.key()); c != nil {
		return c, nil
	}
	return p.open(s)
}

func (p *pool) takeIdle(key string) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[key]
	if len(list) == 0 {
		return nil
	}
	c := list[len(list)-1]
	p.setIdle(key, list[:len(list)-1])
	p.idleN--
	return c
}

func (p *pool) setIdle(key string, list []*conn) {
	if len(list) == 0 {
		delete(p.idle, key)
		return
	}
	p.idle[key] = list
}

// open makes a connection and gives it the settings.
func (p *pool) open(s *settings) (*conn, error) {
	tag := fmt.Sprintf("agentaudit-%d", p.serial.Add(1))
	lc, err := p.deps.Library.Connect(append(p.deps.ConnectArgs[:len(p.deps.ConnectArgs):len(p.deps.ConnectArgs)], "--"+tagSetting+"="+tag)...)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: lc, tag: tag, key: s.key()}
	for _, sql := range s.statements() {
		if err := c.exec(sql); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// put keeps a connection whose state is still that of its key.
func (p *pool) put(c *conn) {
	var drop *conn
	p.mu.Lock()
	if p.closed {
		drop = c
	} else {
		c.lastUsed = time.Now()
		p.idle[c.key] = append(p.idle[c.key], c)
		p.idleN++
		if p.idleN > p.cfg.MaxStatements {
			drop = p.oldest()
		}
	}
	p.mu.Unlock()
	if drop != nil {
		drop.Close()
	}
}

// oldest removes the connection that has been idle for the longest; p.mu is held.
func (p *pool) oldest() *conn {
	var key string
	var found *conn
	for k, list := range p.idle {
		if found == nil || list[0].lastUsed.Before(found.lastUsed) {
			key, found = k, list[0]
		}
	}
	if found != nil {
		p.setIdle(key, p.idle[key][1:])
		p.idleN--
	}
	return found
}

// close ends the idle connections and the one for KILL. Statements have ended before.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle, p.idleN = nil, 0
	p.mu.Unlock()
	for _, list := range idle {
		for _, c := range list {
			c.Close()
		}
	}
	p.adminMu.Lock()
	defer p.adminMu.Unlock()
	p.admin.Close()
}

// killOn kills what runs on c once ctx ends. The returned function ends the watch and comes back
// only when no KILL can hit the connection's next statement any more.
func (p *pool) killOn(ctx context.Context, c *conn) (stop func()) {
	stopped, finished := make(chan struct{}), make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(finished)
		for {
			p.kill(c.tag)
			select {
			case <-stopped:
				return
			case <-time.After(killEvery):
			}
		}
	})
	return func() {
		close(stopped)
		if !cancel() {
			<-finished
		}
	}
}

func (p *pool) kill(tag string) {
	p.adminMu.Lock()
	defer p.adminMu.Unlock()
	res, err := p.admin.Query(fmt.Sprintf("KILL QUERY WHERE Settings['%s'] = '%s' ASYNC", tagSetting, tag), "Null")
	if err != nil {
		p.deps.Log.Warn("kill a statement whose client has gone", slog.Int("code", asException(err).Code))
		return
	}
	res.Free()
}

// exec runs a statement of our own that returns nothing.
func (c *conn) exec(sql string) error {
	res, err := c.Query(sql, "Null")
	if err != nil {
		return err
	}
	res.Free()
	return nil
}
