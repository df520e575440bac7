package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// server is one server's HTTP interface. It is safe for concurrent use.
type server struct {
	base   *url.URL
	client *http.Client
	user   string
	secret string
}

// newTransport returns the transport that all requests of a store share.
func newTransport(cfg Config) (*http.Transport, error) {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: maxIdleConnections,
		// Below ClickHouse's keep_alive_timeout (10 s from 23.11 on, 30 s from 24.8 on), so that
		// requests do not meet a connection that the server is about to close.
		IdleConnTimeout: 8 * time.Second,
		WriteBufferSize: 64 << 10,
		ReadBufferSize:  64 << 10,
		// Blocks are incompressible for the larger part; results are read on the same machine or rack.
		DisableCompression: true,
	}
	config, err := cfg.TLS.load()
	if err != nil {
		return nil, err
	}
	transport.TLSClientConfig = config
	return transport, nil
}

const (
	dialTimeout        = 5 * time.Second
	maxIdleConnections = 64
)

func (t TLS) load() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("clickhouse tls: read authorities: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("clickhouse tls: %s holds no certificate in PEM", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("clickhouse tls: read our certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// ask posts a statement that carries no data. See do.
func (s *server) ask(ctx context.Context, sql string, p params) (*http.Response, error) {
	// In the body: a statement may be longer than an address can be.
	return s.do(ctx, p, strings.NewReader(sql), int64(len(sql)))
}

// do posts a request and returns the response unless the server has refused by then.
// The caller closes its body. An error is an *Exception if ClickHouse said no;
// anything else may have taken effect, unless notSent.
func (s *server) do(ctx context.Context, p params, body io.Reader, sizeBytes int64) (*http.Response, error) {
	target := *s.base
	target.Path = "/"
	query := url.Values{}
	for k, v := range p {
		query.Set(k, v)
	}
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = sizeBytes
	// Never send this request a second time on our behalf: an insert that may have
	// landed is for the caller to decide about.
	req.GetBody = nil
	req.Header.Set("X-ClickHouse-User", s.user)
	req.Header.Set("X-ClickHouse-Key", s.secret)
	req.Header.Set("User-Agent", "agentaudit")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	if resp.StatusCode == http.StatusOK && resp.Header.Get(exceptionHeader) == "" {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxExceptionBytes)) // what was read tells enough
	return nil, exceptionOf(resp, text)
}

const exceptionHeader = "X-ClickHouse-Exception-Code"

// maxExceptionBytes bounds how much of an error's text is read.
const maxExceptionBytes = 16 << 10

// notSent tells that no connection came about, so that the server knows nothing of the request.
func notSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// withoutURL drops the request's address with all its parameters from an error:
// statements may name people.
func withoutURL(err error) error {
	if u, ok := err.(*url.Error); ok { //nolint:errorlint // what http.Client.Do returns, never wrapped
		return u.Err
	}
	return err
}

// exceptionOf makes an error of a response that is none of success.
func exceptionOf(resp *http.Response, text []byte) error {
	code, _ := strconv.Atoi(resp.Header.Get(exceptionHeader))
	if found := parseException(text); found != nil {
		if code == 0 || code == found.Code {
			return found
		}
	}
	if code != 0 {
		return &Exception{Code: code, Message: "no text"}
	}
	return fmt.Errorf("clickhouse answered with status %d and no exception", resp.StatusCode)
}
