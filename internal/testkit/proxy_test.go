package testkit_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

// echo is a server that sends back what it gets.
func echo(t *testing.T) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the connection
				io.Copy(conn, conn)
				conn.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func TestProxy(t *testing.T) {
	f := func(name string, harm func(p *testkit.Proxy), check func(t *testing.T, p *testkit.Proxy, conn net.Conn)) {
		t.Run(name, func(t *testing.T) {
			p := testkit.NewProxy(t, echo(t))
			conn, err := net.Dial("tcp", p.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			exchange(t, conn, "hello", "hello")
			harm(p)
			check(t, p, conn)
			p.Heal()
			fresh, err := net.Dial("tcp", p.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer fresh.Close()
			exchange(t, fresh, "again", "again")
		})
	}
	ends := func(t *testing.T, _ *testkit.Proxy, conn net.Conn) {
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		conn.Write([]byte("x"))
		if n, err := conn.Read(make([]byte, 10)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read %d bytes, %v", n, err)
		}
	}
	f("cut", func(p *testkit.Proxy) { p.Cut() }, ends)
	f("refuse", func(p *testkit.Proxy) { p.Refuse() }, ends)
	f("truncate", func(p *testkit.Proxy) { p.TruncateAfter(testkit.ToClient, 3) }, func(t *testing.T, _ *testkit.Proxy, conn net.Conn) {
		conn.Write([]byte("abcdef"))
		if b, err := io.ReadAll(conn); string(b) != "abc" {
			t.Errorf("read %q, %v", b, err)
		}
	})
	for _, d := range []testkit.Direction{testkit.ToServer, testkit.ToClient} {
		f("black hole", func(p *testkit.Proxy) { p.BlackHole(d) }, func(t *testing.T, p *testkit.Proxy, conn net.Conn) {
			conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
			conn.Write([]byte("late"))
			if n, err := conn.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read %d bytes, %v", n, err)
			}
			p.Heal()
			exchange(t, conn, "", "late")
		})
		f("delay", func(p *testkit.Proxy) { p.Delay(d, 60*time.Millisecond) }, func(t *testing.T, _ *testkit.Proxy, conn net.Conn) {
			began := time.Now()
			exchange(t, conn, "slow", "slow")
			if took := time.Since(began); took < 60*time.Millisecond {
				t.Errorf("took %v", took)
			}
		})
		f("corrupt", func(p *testkit.Proxy) { p.Corrupt(d, func(chunk []byte) { chunk[0] = 'X' }) }, func(t *testing.T, _ *testkit.Proxy, conn net.Conn) {
			exchange(t, conn, "fine", "Xine")
		})
	}
}

func exchange(t *testing.T, conn net.Conn, send, want string) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(send)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(want))
	if _, err := io.ReadFull(conn, b); err != nil || string(b) != want {
		t.Fatalf("got %q, %v; want %q", b, err, want)
	}
}
