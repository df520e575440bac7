package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// maxRequestBytes bounds a request: kfake allocates whatever a client announces.
	maxRequestBytes = 64 << 20
	// maxFetchBytes bounds an answer to a fetch likewise.
	maxFetchBytes = 64 << 20
	// maxConnections bounds the clients; Kafka clients hold a few connections each.
	maxConnections = 512
)

// listener refuses what would end kfake or eat the machine's memory: too many clients, and bytes
// that are no Kafka request (a request of unknown kind makes kfake panic, and "GET " announces one
// of a gigabyte).
type listener struct {
	net.Listener
	places chan struct{} // one element for each open connection
}

func newListener(l net.Listener) *listener {
	return &listener{Listener: l, places: make(chan struct{}, maxConnections)}
}

// acceptPause follows a failure like too many open files.
const acceptPause = 50 * time.Millisecond

// Accept waits for a place before it takes a further client from the backlog. It fails only when
// the listener is closed: kfake would never accept again after any error.
func (l *listener) Accept() (net.Conn, error) {
	l.places <- struct{}{}
	for {
		c, err := l.Listener.Accept()
		if err == nil {
			return &guardedConn{Conn: c, release: func() { <-l.places }}, nil
		}
		if errors.Is(err, net.ErrClosed) {
			<-l.places
			return nil, err
		}
		time.Sleep(acceptPause)
	}
}

// guardedConn checks the first bytes of each request before kfake sees them. One goroutine reads.
type guardedConn struct {
	net.Conn
	release func()
	once    sync.Once

	head    [headBytes]byte
	pending []byte // of head, checked, not handed over yet
	body    int    // bytes of the present request that are still to be read from Conn
}

// headBytes are size (4), kind (2) and version (2).
const headBytes = 8

func (c *guardedConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.pending) == 0 && c.body == 0 {
		if err := c.readHead(); err != nil {
			return 0, err
		}
	}
	if len(c.pending) > 0 {
		n := copy(p, c.pending)
		c.pending = c.pending[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p[:min(len(p), c.body)])
	c.body -= n
	return n, err
}

var errNotKafka = errors.New("not a Kafka request")

func (c *guardedConn) readHead() error {
	if _, err := io.ReadFull(c.Conn, c.head[:]); err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint32(c.head[:4]))
	kind := int16(binary.BigEndian.Uint16(c.head[4:6]))
	if size < headBytes || size > maxRequestBytes || kmsg.RequestForKey(kind) == nil {
		return fmt.Errorf("%w: %d bytes of kind %d", errNotKafka, size, kind)
	}
	c.pending = c.head[:]
	c.body = size - (headBytes - 4)
	return nil
}

func (c *guardedConn) Close() error {
	c.once.Do(c.release)
	return c.Conn.Close()
}
