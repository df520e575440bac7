package up

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// freeAddresses returns n loopback addresses that nobody listens on. They lie below the ports that the kernel
// gives to outgoing connections: one of those could take a child's port while it is restarted.
func freeAddresses(ctx context.Context, n int) ([]string, error) {
	low, high := 20000, ephemeralStart()
	if high-low < 1000 {
		low, high = 10000, 65000 // an unusual setting; then the risk is taken
	}
	const tries = 2000
	found := make(map[string]bool)
	var addresses []string
	for range tries {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(low+rand.IntN(high-low)))
		if found[address] || !canListen(ctx, address) {
			continue
		}
		found[address] = true
		if addresses = append(addresses, address); len(addresses) == n {
			return addresses, nil
		}
	}
	return nil, errors.New("found no free port on 127.0.0.1: name addresses with --kafka-addr, --clickhouse-addr and --http-addr")
}

// ephemeralStart is the first port that the kernel gives to outgoing connections.
func ephemeralStart() int {
	const usual = 32768
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return usual
	}
	if parts := strings.Fields(string(text)); len(parts) == 2 {
		if port, err := strconv.Atoi(parts[0]); err == nil {
			return port
		}
	}
	return usual
}

func canListen(ctx context.Context, address string) bool {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

// mustBeFree says which setting to change when somebody else listens on address.
func mustBeFree(ctx context.Context, what, address, remedy string) error {
	if canListen(ctx, address) {
		return nil
	}
	return fmt.Errorf("%s cannot listen on %s: the address is in use or not of this machine; %s", what, address, remedy)
}

// checkPorts finds addresses that are taken before anything is started. Children of a run that was killed may
// take a moment to go.
func (u *up) checkPorts(ctx context.Context) error {
	const patience = 5 * time.Second
	deadline := time.Now().Add(patience)
	for _, p := range []struct{ what, address, remedy string }{
		{"kafka", u.cfg.Kafka.Brokers[0], "free it, or choose another with --kafka-addr"},
		{"clickhouse", strings.TrimPrefix(u.cfg.ClickHouse.Addresses[0], "http://"), "free it, or choose another with --clickhouse-addr"},
		{"exporter", u.cfg.HTTP.Exporter, "free it, or choose another with --http-addr"},
		{"ingest", u.cfg.HTTP.Ingest, "free it, or choose another with --set http.ingest=HOST:PORT"},
		{"detector", u.cfg.HTTP.Detector, "free it, or choose another with --set http.detector=HOST:PORT"},
	} {
		for {
			err := mustBeFree(ctx, p.what, p.address, p.remedy)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return err
			}
			select {
			case <-time.After(readyEvery):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}
