package kafkaio

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// Config says how to reach a cluster and how much to fetch. DefaultConfig has the defaults; New checks the bounds.
type Config struct {
	// Brokers to ask first, host:port. The cluster names the others.
	Brokers []string
	// ClientID is what the brokers' logs and quotas call this process.
	ClientID string
	TLS      TLSConfig
	SASL     SASLConfig

	// DialTimeout is what connecting may take, TLS and login included. 100 ms to 1 min.
	DialTimeout time.Duration
	// RequestTimeout is what one exchange may take, beyond the time that the broker is asked to wait. 100 ms to 1 min.
	RequestTimeout time.Duration

	// FetchMaxBytes is what one fetch asks for. The broker sends a batch that is larger all the same. 64 KiB to 64 MiB.
	FetchMaxBytes int
	// FetchMaxWait is how long the broker may wait for records when there are none. 10 ms to 30 s.
	FetchMaxWait time.Duration
	// FetchDepth is how many batches of a partition may be delivered and not yet released. 1 to 64.
	// A partition needs about (FetchDepth + 1) × FetchMaxBytes, twice that if its batches are compressed.
	FetchDepth int
}

// TLSConfig protects the connections. The server's certificate is always checked.
type TLSConfig struct {
	Enabled bool
	// CAFile holds the authorities to trust, PEM. Empty: the system's.
	CAFile string
	// CertFile and KeyFile are our own certificate, PEM, for brokers that ask for one. Both or neither.
	CertFile, KeyFile string
	// ServerName is what the brokers' certificates must be for. Empty: the name that was dialled.
	ServerName string
}

// SASLConfig logs in.
type SASLConfig struct {
	// Mechanism is plain, scram-sha-256 or scram-sha-512. Empty: no login.
	Mechanism string
	Username  string
	// PasswordFile holds the password; a last line break is not part of it. It is read when the client is made.
	PasswordFile string
	// Password is used if PasswordFile is empty (from the environment, say).
	Password string
}

// MaxDeliveredBytes is what is delivered of one record at most, key, value and headers together: four times what an event may have. Of a larger
// one the beginning is delivered and Record.CutBytes says how much is missing, because a record of a few kilobytes on the wire can unpack to gigabytes.
const MaxDeliveredBytes = 4 << 20

// maxResponseBytes is the largest answer to a fetch that is read. Batches larger than that (a topic's max.message.bytes would have to
// allow them) cannot be followed; the error says so.
const maxResponseBytes = 128 << 20

// DefaultConfig is for a broker on this machine.
func DefaultConfig() Config {
	return Config{
		Brokers:        []string{"127.0.0.1:9092"},
		ClientID:       "agentaudit",
		DialTimeout:    3 * time.Second,
		RequestTimeout: 5 * time.Second,
		FetchMaxBytes:  4 << 20,
		FetchMaxWait:   500 * time.Millisecond,
		FetchDepth:     2,
	}
}

// Validate names the first field that is out of bounds.
func (c *Config) Validate() error {
	if len(c.Brokers) == 0 {
		return errors.New("kafka: no broker: at least one host:port is needed")
	}
	for _, broker := range c.Brokers {
		if host, port, err := net.SplitHostPort(broker); err != nil || host == "" || port == "" {
			return fmt.Errorf("kafka: broker %q: want host:port", broker)
		}
	}
	if c.ClientID == "" {
		return errors.New("kafka: client id: want a name")
	}
	for _, d := range []struct {
		name            string
		value, from, to time.Duration
	}{
		{"dial timeout", c.DialTimeout, 100 * time.Millisecond, time.Minute},
		{"request timeout", c.RequestTimeout, 100 * time.Millisecond, time.Minute},
		{"fetch wait", c.FetchMaxWait, 10 * time.Millisecond, 30 * time.Second},
	} {
		if d.value < d.from || d.value > d.to {
			return fmt.Errorf("kafka: %s %v: want %v to %v", d.name, d.value, d.from, d.to)
		}
	}
	for _, n := range []struct {
		name            string
		value, from, to int
	}{
		{"fetch bytes", c.FetchMaxBytes, 64 << 10, 64 << 20},
		{"fetch depth", c.FetchDepth, 1, 64},
	} {
		if n.value < n.from || n.value > n.to {
			return fmt.Errorf("kafka: %s %d: want %d to %d", n.name, n.value, n.from, n.to)
		}
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		return errors.New("kafka: TLS certificate and key: want both or neither")
	}
	switch c.SASL.Mechanism {
	case "":
	case "plain", "scram-sha-256", "scram-sha-512":
		if c.SASL.Username == "" || (c.SASL.Password == "" && c.SASL.PasswordFile == "") {
			return fmt.Errorf("kafka: SASL %s: want a user name and a password", c.SASL.Mechanism)
		}
	default:
		return fmt.Errorf("kafka: SASL mechanism %q: want plain, scram-sha-256 or scram-sha-512", c.SASL.Mechanism)
	}
	return nil
}
