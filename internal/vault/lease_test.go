package vault

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease(time.Second)
		if l.valid() {
			t.Error("valid before anybody asked")
		}
		awaited := make(chan error)
		go func() { awaited <- l.await(t.Context()) }()
		asked := l.now()
		time.Sleep(400 * time.Millisecond) // the answer takes its time
		l.extend(asked)
		if err := <-awaited; err != nil || !l.valid() {
			t.Errorf("await: %v", err)
		}
		time.Sleep(600*time.Millisecond - time.Nanosecond)
		if !l.valid() {
			t.Error("ended early")
		}
		time.Sleep(time.Nanosecond)
		if l.valid() {
			t.Error("longer than a second after it was asked for")
		}
		reason := errors.New("connection refused")
		l.failed(reason)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := l.await(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, reason) {
			t.Errorf("await: %v", err)
		}
		l.extend(l.now())
		l.end()
		if l.valid() {
			t.Error("valid after its end")
		}
	})
}

// proxy stands between the vault and PostgreSQL, and can fall silent, as a stopped server does, or go away.
type proxy struct {
	target string

	mu       sync.Mutex
	listener net.Listener
	address  string
	conns    map[net.Conn]struct{}
	silent   chan struct{} // not nil: nothing passes until it is closed
	wg       sync.WaitGroup
}

// newProxy returns a proxy to the server of a DSN and a DSN that goes through it.
func newProxy(t *testing.T, dsn string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil || u.Port() == "" {
		testkit.Missing(t, "AGENTAUDIT_TEST_POSTGRES is no URL with a port, so no proxy can stand before it")
	}
	p := &proxy{target: u.Host, address: "127.0.0.1:0", conns: make(map[net.Conn]struct{})}
	p.listen(t)
	t.Cleanup(func() {
		p.speak()
		p.close()
		p.wg.Wait()
	})
	u.Host = p.address
	return p, u.String()
}

func (p *proxy) listen(t *testing.T) {
	t.Helper()
	var err error
	if p.listener, err = net.Listen("tcp", p.address); err != nil {
		t.Fatal(err)
	}
	p.address = p.listener.Addr().String()
	listener := p.listener
	p.wg.Go(func() { // ends with the listener
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", p.target)
			if err != nil {
				client.Close()
				continue
			}
			p.mu.Lock()
			p.conns[client], p.conns[server] = struct{}{}, struct{}{}
			p.mu.Unlock()
			p.wg.Go(func() { p.pump(client, server) })
			p.wg.Go(func() { p.pump(server, client) })
		}
	})
}

func (p *proxy) pump(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		silent := p.silent
		p.mu.Unlock()
		if silent != nil {
			<-silent
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) hush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = make(chan struct{})
}

func (p *proxy) speak() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent != nil {
		close(p.silent)
		p.silent = nil
	}
}

func (p *proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		conn.Close()
	}
	clear(p.conns)
}

// PostgreSQL stops answering, or goes away: within a lease nobody is handed out any more, whoever waits for the lease waits, calls fail in time and say
// that they may be repeated; then everything goes on by itself.
func TestVaultAway(t *testing.T) {
	f := func(t *testing.T, away, back func(*testing.T, *proxy)) {
		t.Helper()
		cfg := emptyDatabase(t, DriverPostgres)
		var p *proxy
		p, cfg.DSN = newProxy(t, cfg.DSN)
		v := newVault(t, cfg)
		c := newCache(t, v, 300*time.Millisecond)
		running(t, c)
		ids := people(0, 10)
		resolve(t, c, ids...)
		var got CachedSubject
		if !c.Get(lookup(c, ids[0]), &got) {
			t.Fatal("not there")
		}
		away(t, p)
		testkit.Eventually(t, soon, func() bool { return !c.Get(lookup(c, ids[0]), &got) }, "the lease runs out")
		short := func() context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			t.Cleanup(cancel)
			return ctx
		}
		if err := c.AwaitLease(short()); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnavailable) {
			t.Errorf("AwaitLease: %v", err)
		}
		if err := c.Resolve(short(), people(10, 1), c.Late()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Resolve: %v", err)
		}
		if _, err := v.Subjects(short(), people(10, 1)); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Subjects: %v", err)
		} else if strings.Contains(err.Error(), "user-10") {
			t.Errorf("a person in the error: %v", err)
		}
		if err := v.Ping(short()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Ping: %v", err)
		}
		if c.Get(lookup(c, ids[0]), &got) {
			t.Error("handed out without a lease")
		}
		back(t, p)
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		defer cancel()
		if err := c.AwaitLease(ctx); err != nil {
			t.Fatal(err)
		}
		resolve(t, c, ids...)
		resolve(t, c, people(10, 1)...)
		testkit.Eventually(t, soon, func() bool { return c.Get(lookup(c, ids[0]), &got) }, "subjects are handed out again")
		testkit.Eventually(t, soon, func() bool { return v.Ping(ctx) == nil }, "Ping succeeds again")
		checkSubjects(t, v, 11)
	}
	t.Run("silent", func(t *testing.T) {
		f(t, func(_ *testing.T, p *proxy) { p.hush() }, func(_ *testing.T, p *proxy) { p.speak() })
	})
	t.Run("gone", func(t *testing.T) {
		f(t, func(_ *testing.T, p *proxy) { p.close() }, func(t *testing.T, p *proxy) { p.listen(t) })
	})
}
