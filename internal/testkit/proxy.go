package testkit

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Direction of bytes through a Proxy.
type Direction int

// The directions.
const (
	ToServer Direction = iota
	ToClient
)

// Proxy passes TCP connections on to a server, and harms them on demand: both directions, while they are open. Faults hold until Heal, for
// old connections and new ones.
type Proxy struct {
	Addr string // where to connect to

	t        testing.TB
	target   string
	listener net.Listener
	work     sync.WaitGroup

	mu     sync.Mutex
	pairs  map[*pair]struct{} // guarded by mu, as are all below
	faults [2]fault
	healed chan struct{} // closed by Heal, then replaced
	closed bool
}

// fault is what happens to the bytes of one direction. The zero fault is none.
type fault struct {
	hold    bool               // bytes vanish and nobody is told: a black hole
	refuse  bool               // new connections are closed at once
	delay   time.Duration      // before each chunk
	cutAt   int64              // the connection ends after so many more bytes; 0: it does not
	corrupt func(chunk []byte) // changes bytes in place
}

type pair struct{ client, server net.Conn }

// NewProxy listens on a loopback port until the test ends.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), t: t, target: target, listener: l, pairs: map[*pair]struct{}{}, healed: make(chan struct{})}
	p.work.Go(p.accept) // ends with the listener
	t.Cleanup(func() {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		l.Close()
		p.Heal()
		p.Cut()
		p.work.Wait()
	})
	return p
}

// Dial connects through the proxy whatever the address, for clients that are told the server's own.
func (p *Proxy) Dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, p.Addr)
}

// Cut ends all connections now. New ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	pairs := p.pairs
	p.pairs = map[*pair]struct{}{}
	p.mu.Unlock()
	for pair := range pairs {
		pair.client.Close()
		pair.server.Close()
	}
}

// Refuse ends all connections and closes new ones at once.
func (p *Proxy) Refuse() {
	p.set(ToServer, func(f *fault) { f.refuse = true })
	p.Cut()
}

// BlackHole makes bytes of a direction wait until Heal, or for ever, while connections stay open.
func (p *Proxy) BlackHole(d Direction) { p.set(d, func(f *fault) { f.hold = true }) }

// Delay holds each chunk of a direction back for a while.
func (p *Proxy) Delay(d Direction, by time.Duration) { p.set(d, func(f *fault) { f.delay = by }) }

// TruncateAfter ends each connection after so many more bytes of a direction.
func (p *Proxy) TruncateAfter(d Direction, n int64) { p.set(d, func(f *fault) { f.cutAt = n }) }

// Corrupt lets change see and change each chunk of bytes of a direction. It is called for one chunk at a time.
func (p *Proxy) Corrupt(d Direction, change func(chunk []byte)) {
	p.set(d, func(f *fault) { f.corrupt = change })
}

// Heal ends all faults. Bytes held back flow on.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = [2]fault{}
	close(p.healed)
	p.healed = make(chan struct{})
}

func (p *Proxy) set(d Direction, change func(*fault)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.faults[d])
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(client) }) // ends with the connection
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	refuse := p.faults[ToServer].refuse
	p.mu.Unlock()
	if refuse {
		return
	}
	server, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		return // as if the server itself had refused
	}
	defer server.Close()
	both := &pair{client, server}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.pairs[both] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.pairs, both)
		p.mu.Unlock()
	}()
	var copies sync.WaitGroup
	copies.Go(func() { p.copy(ToServer, server, client); client.Close(); server.Close() }) // both end when either connection does
	copies.Go(func() { p.copy(ToClient, client, server); client.Close(); server.Close() })
	copies.Wait()
}

var errFault = errors.New("fault")

func (p *Proxy) copy(d Direction, to io.Writer, from io.Reader) {
	buf := make([]byte, 32<<10)
	var passed int64 // since the fault cutAt was set
	for {
		n, err := from.Read(buf)
		if n > 0 {
			chunk, faulty := p.pass(d, buf[:n], &passed)
			if _, err := to.Write(chunk); err != nil || faulty != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass applies the faults to a chunk.
func (p *Proxy) pass(d Direction, chunk []byte, passed *int64) ([]byte, error) {
	for {
		p.mu.Lock()
		f, healed := p.faults[d], p.healed
		if f.corrupt != nil {
			f.corrupt(chunk)
		}
		p.mu.Unlock()
		if f.hold {
			<-healed
			continue
		}
		if f.delay > 0 {
			timer := time.NewTimer(f.delay)
			select {
			case <-timer.C:
			case <-healed:
			}
			timer.Stop()
		}
		if f.cutAt == 0 {
			*passed = 0
			return chunk, nil
		}
		if *passed+int64(len(chunk)) >= f.cutAt {
			return chunk[:f.cutAt-*passed], errFault
		}
		*passed += int64(len(chunk))
		return chunk, nil
	}
}

// ProxyTo puts a Proxy before the server that a URL names, and returns the URL that leads through it. The test is one of servers that are told by a URL with a host:
// Missing is called for others.
func ProxyTo(t testing.TB, rawURL string) (p *Proxy, through string) {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		Missing(t, "a server that is told by a URL with a host") // the error would quote the password
	}
	p = NewProxy(t, u.Host)
	u.Host = p.Addr
	return p, u.String()
}
