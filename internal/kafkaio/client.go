package kafkaio

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
)

// Deps are what a Client needs from the process.
type Deps struct {
	Logger  *slog.Logger          // nil: nothing is logged
	Metrics prometheus.Registerer // nil: nothing is registered
	// Dial replaces the plain TCP connection, below TLS. nil: net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Client speaks to one cluster. It is safe for concurrent use.
type Client struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	tls     *tls.Config    // nil: none
	sasl    sasl.Mechanism // nil: none

	// transport is kafka-go's pool of connections, for everything but following. It is this client's own: the library's
	// default one is shared, and what one user does to it, like closing dead connections, happens to all.
	transport *kafka.Transport
	kafka     *kafka.Client
}

// New checks the config and reads the files it names. It connects to nothing.
func New(cfg Config, deps Deps) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, log: deps.Logger, dial: deps.Dial}
	var err error
	if c.tls, err = cfg.TLS.load(); err != nil {
		return nil, err
	}
	if c.sasl, err = cfg.SASL.load(); err != nil {
		return nil, err
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.metrics, err = newMetrics(deps.Metrics); err != nil {
		return nil, err
	}
	if c.dial == nil {
		c.dial = (&net.Dialer{}).DialContext
	}
	c.transport = &kafka.Transport{
		Dial:        c.dial,
		DialTimeout: cfg.DialTimeout,
		ClientID:    cfg.ClientID,
		TLS:         c.tls,
		SASL:        c.sasl,
		MetadataTTL: metadataAge,
	}
	c.kafka = &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Timeout: cfg.RequestTimeout, Transport: c.transport}
	return c, nil
}

// Close ends idle connections. Follow, Group.Run and Produce must have returned.
func (c *Client) Close() { c.transport.CloseIdleConnections() }
