package notify

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// forbiddenAddressError: what the receiver's name stands for is no place to send to.
type forbiddenAddressError struct{ why string }

func (e *forbiddenAddressError) Error() string { return "the receiver's address " + e.why }

// newHTTPClient makes a client for one receiver, whose URL CheckURL has accepted. It follows no redirects: they would take the token, or the alert,
// elsewhere. What a name resolves to is checked when it is dialled: a URL that is allowed to go without TLS goes to this machine, and none goes to
// link-local addresses, where clouds keep their machines' credentials.
func newHTTPClient(receiver string, timeout time.Duration, dial dialer) (*http.Client, error) {
	u, err := url.Parse(receiver)
	if err != nil {
		return nil, fmt.Errorf("receiver: %w", err)
	}
	local := u.Scheme == "http"
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSHandshakeTimeout:    timeout,
		ResponseHeaderTimeout:  timeout,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    2,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
	if dial == nil {
		d := &net.Dialer{Timeout: timeout, Control: func(_, address string, _ syscall.RawConn) error { return checkAddress(address, local) }}
		dial = d.DialContext
	}
	transport.DialContext = dial
	return &http.Client{
		Transport:     transport,
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func checkAddress(address string, local bool) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return &forbiddenAddressError{"cannot be read"}
	}
	ip := to.Addr().Unmap()
	switch {
	case local && !ip.IsLoopback():
		return &forbiddenAddressError{"is not on this machine, and the URL has no TLS"}
	case ip.IsLinkLocalUnicast(), ip.IsMulticast(), ip.IsUnspecified():
		return &forbiddenAddressError{"is link-local, multicast or unspecified"}
	}
	return nil
}
