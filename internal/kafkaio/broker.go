package kafkaio

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
)

// link is a connection to one broker, logged in. One goroutine may use it.
type link struct {
	addr, clientID string

	net     net.Conn       // what answers to fetches are read from
	proto   *protocol.Conn // the rest, by kafka-go
	fetches struct{ from, to int16 }
	calls   int32
	unwatch func() bool
}

// connect dials a broker and logs in. The link breaks when ctx ends.
func (c *Client) connect(ctx context.Context, addr string) (*link, error) {
	deadline := time.Now().Add(c.cfg.DialTimeout)
	dialCtx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := c.dial(dialCtx, "tcp", addr)
	if err != nil {
		return nil, err // names the address
	}
	l := &link{addr: addr, clientID: c.cfg.ClientID, net: conn}
	l.unwatch = context.AfterFunc(ctx, func() { conn.Close() })
	if err := c.open(dialCtx, l, deadline); err != nil {
		l.close()
		return nil, fmt.Errorf("connect to broker %s: %w", addr, err)
	}
	return l, nil
}

func (c *Client) open(ctx context.Context, l *link, deadline time.Time) error {
	host, portText, err := net.SplitHostPort(l.addr)
	if err != nil {
		return err
	}
	if c.tls != nil {
		cfg := c.tls
		if cfg.ServerName == "" {
			cfg = cfg.Clone()
			cfg.ServerName = host
		}
		secure := tls.Client(l.net, cfg)
		if err := secure.HandshakeContext(ctx); err != nil {
			return err
		}
		l.net = secure
	}
	l.proto = protocol.NewConn(l.net, c.cfg.ClientID)
	if err := l.net.SetDeadline(deadline); err != nil {
		return err
	}
	m, err := l.proto.RoundTrip(new(apiversions.Request))
	if err != nil {
		return err
	}
	res := m.(*apiversions.Response)
	if res.ErrorCode != 0 {
		return kafka.Error(res.ErrorCode)
	}
	versions := make(map[protocol.ApiKey]int16, len(res.ApiKeys))
	for _, api := range res.ApiKeys {
		key := protocol.ApiKey(api.ApiKey)
		versions[key] = key.SelectVersion(api.MinVersion, api.MaxVersion)
		if key == protocol.Fetch {
			l.fetches.from, l.fetches.to = api.MinVersion, api.MaxVersion
		}
	}
	l.proto.SetVersions(versions)
	if c.sasl != nil {
		port, err := strconv.Atoi(portText)
		if err != nil {
			return err
		}
		if err := login(sasl.WithMetadata(ctx, &sasl.Metadata{Host: host, Port: port}), l.proto, c.sasl); err != nil {
			return fmt.Errorf("log in as %s: %w", c.cfg.SASL.Username, err)
		}
	}
	return l.net.SetDeadline(time.Time{})
}

// login is the exchange of KIP-43 and KIP-152.
func login(ctx context.Context, conn *protocol.Conn, mechanism sasl.Mechanism) error {
	m, err := conn.RoundTrip(&saslhandshake.Request{Mechanism: mechanism.Name()})
	if err != nil {
		return err
	}
	if code := m.(*saslhandshake.Response).ErrorCode; code != 0 {
		return kafka.Error(code)
	}
	session, state, err := mechanism.Start(ctx)
	if err != nil {
		return err
	}
	for done := false; !done; {
		m, err := conn.RoundTrip(&saslauthenticate.Request{AuthBytes: state})
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return kafka.SASLAuthenticationFailed // some brokers just hang up
		}
		if err != nil {
			return err
		}
		res := m.(*saslauthenticate.Response)
		if res.ErrorCode != 0 {
			return kafka.Error(res.ErrorCode)
		}
		if done, state, err = session.Next(ctx, res.AuthBytes); err != nil {
			return err
		}
	}
	return nil
}

// close ends the connection. A nil link is closed already.
func (l *link) close() {
	if l != nil {
		l.unwatch()
		l.net.Close()
	}
}

// connectAny connects to one of the configured brokers, beginning anywhere.
func (c *Client) connectAny(ctx context.Context) (*link, error) {
	var errs []error
	for _, i := range rand.Perm(len(c.cfg.Brokers)) {
		l, err := c.connect(ctx, c.cfg.Brokers[i])
		if err == nil {
			return l, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// describe asks for metadata of topics, or of none, over a connection of its own: kafka-go's Client answers from a cache.
func (c *Client) describe(ctx context.Context, topics ...string) (*metadata.Response, error) {
	l, err := c.connectAny(ctx)
	if err != nil {
		return nil, err
	}
	defer l.close()
	if topics == nil {
		topics = []string{} // nil would mean all
	}
	if err := l.net.SetDeadline(time.Now().Add(c.cfg.RequestTimeout)); err != nil {
		return nil, err
	}
	m, err := l.proto.RoundTrip(&metadata.Request{TopicNames: topics})
	if err != nil {
		return nil, fmt.Errorf("ask broker %s for metadata: %w", l.addr, err)
	}
	return m.(*metadata.Response), nil
}

// leader returns the address of the broker that leads a partition.
func (c *Client) leader(ctx context.Context, topic string, partition int) (addr string, err error) {
	res, err := c.describe(ctx, topic)
	if err != nil {
		return "", err
	}
	for _, t := range res.Topics {
		if t.Name != topic {
			continue
		}
		if t.ErrorCode != 0 && t.ErrorCode != int16(kafka.UnknownTopicOrPartition) {
			return "", kafka.Error(t.ErrorCode)
		}
		for _, p := range t.Partitions {
			if int(p.PartitionIndex) != partition {
				continue
			}
			for _, b := range res.Brokers {
				if b.NodeID == p.LeaderID {
					return net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))), nil
				}
			}
			return "", kafka.LeaderNotAvailable
		}
	}
	return "", ErrNoTopic
}
