package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/agentaudit/agentaudit/internal/telemetry"
)

type healthcheckCommand struct {
	URL     string        `arg:"" help:"Such as http://127.0.0.1:9101/readyz." placeholder:"URL"`
	Timeout time.Duration `default:"4s" help:"How long the answer may take."`
}

// Help is printed by `healthcheck --help`.
func (healthcheckCommand) Help() string {
	return `For containers without a shell and for service managers: exit code 0 if the address answers with status 200, 1 if it does
not, with the names of the failing checks. It needs no configuration. For https the authorities are the system's, or those in
the file that SSL_CERT_FILE names.`
}

// maxHealthBytes is more than any /readyz answers.
const maxHealthBytes = 64 << 10

func (c *healthcheckCommand) Run(ctx context.Context, w *world) error {
	address, err := url.Parse(c.URL)
	if err != nil || address.Host == "" || (address.Scheme != "http" && address.Scheme != "https") {
		return errors.New("healthcheck: the address must be http://host:port/readyz or https://host:port/readyz")
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if err := ready(ctx, c.URL); err != nil {
		if _, err := fmt.Fprintln(w.stdout, printable(err.Error())); err != nil {
			return err
		}
		return errNo
	}
	_, err = fmt.Fprintln(w.stdout, "ready")
	return err
}

// ready returns why the process at address is not ready.
func ready(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	// No proxy: what is asked is on this machine or beside it.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxHealthBytes))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", address, err)
	}
	if response.StatusCode == http.StatusOK {
		return nil
	}
	var body telemetry.Readiness
	if json.Unmarshal(text, &body) == nil && len(body.Failing) > 0 {
		return fmt.Errorf("not ready: %s", strings.Join(body.Failing, ", "))
	}
	return fmt.Errorf("%s answers %s", address, response.Status)
}
