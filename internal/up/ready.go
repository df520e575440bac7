package up

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/agentaudit/agentaudit/internal/telemetry"
)

// probeTimeout bounds one question whether a child is ready. It is longer than the child's own checks take.
const probeTimeout = 3 * time.Second

// prober asks children over HTTP. Safe for concurrent use.
type prober struct{ client http.Client }

func newProber() *prober {
	return &prober{client: http.Client{
		Timeout: probeTimeout,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			// The certificate is for the name that users dial. Nothing is sent and only "ready" is believed.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
		},
	}}
}

// get reads the JSON at url into body, whatever the status: /readyz says why with 503. Without a body only 200 is good.
func (p *prober) get(ctx context.Context, url string, body any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if body != nil {
		if err := json.NewDecoder(response.Body).Decode(body); err != nil {
			return fmt.Errorf("%s answered %s with something else than JSON", url, response.Status)
		}
	} else if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, response.Status)
	}
	return nil
}

// process asks one of our processes, which names what it waits for.
func (p *prober) process(ctx context.Context, base string) error {
	var state telemetry.Readiness
	if err := p.get(ctx, base+"/readyz", &state); err != nil {
		return err
	}
	if !state.Ready {
		return fmt.Errorf("it waits for %s", strings.Join(state.Failing, ", "))
	}
	return nil
}

// dialable is where a listen address can be reached from this machine.
func dialable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
