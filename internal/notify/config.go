package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/alert"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// Config is what a Notifier is told. DefaultConfig has the defaults, Validate the bounds.
type Config struct {
	// Topic is where incidents come from, and Group the consumer group that reads it.
	Topic, Group string
	Slack        SlackConfig
	Webhook      WebhookConfig
	// RequestTimeout bounds one request to a receiver. 100 ms to 1 min.
	RequestTimeout time.Duration
	// PollEvery is how often the vault is asked for what other processes have changed. 10 ms to 10 min.
	PollEvery time.Duration
	// RefusedEvery is how often a receiver is tried that refuses for good: somebody has to mend something first. 1 s to 1 h.
	RefusedEvery time.Duration
	// Retention is how long the state of an incident is kept after its last change. A button that is pressed later does nothing. 1 h to 10 years.
	Retention time.Duration
}

// SlackConfig says where in Slack alerts go.
type SlackConfig struct {
	// APIURL is Slack's Web API. Without TLS only on loopback: the token goes there.
	APIURL string
	// Token of the app's bot (xoxb-…). Empty: Slack is off.
	Token string
	// SigningSecret is what Slack signs presses of buttons with. Empty: messages have no buttons.
	SigningSecret string
	// Channel is where alerts go that Channels does not route, by id (C…), and the digest.
	Channel  string
	Channels map[anomaly.Severity]string
	// ShowIdentities shows who a pseudonym is, as far as Deps.Reveal tells. They stay in Slack, whatever is erased here.
	ShowIdentities bool
	// DigestAt is when the day before is summarised, after midnight UTC. Negative: never.
	DigestAt time.Duration
}

// WebhookConfig says to which URL incidents are posted.
type WebhookConfig struct {
	// URL is https, or http on loopback. Empty: there is no webhook.
	URL string
	// Secret signs what is posted; 16 bytes at least.
	Secret []byte
}

// NoDigest is a DigestAt.
const NoDigest time.Duration = -1

// minSecretBytes makes a secret worth the HMAC.
const minSecretBytes = 16

// DefaultConfig has the topic's default name, and no receiver.
func DefaultConfig() Config {
	return Config{
		Topic: "agent.alerts", Group: "agentaudit-notify",
		Slack:          SlackConfig{APIURL: "https://slack.com/api/", DigestAt: NoDigest},
		RequestTimeout: 10 * time.Second, PollEvery: 2 * time.Second, RefusedEvery: time.Minute, Retention: 30 * 24 * time.Hour,
	}
}

// Validate names the first field that cannot be as it is. No secret stands in the error.
func (c *Config) Validate() error {
	if c.Topic == "" || c.Group == "" {
		return errors.New("topic of alerts and consumer group: must be named")
	}
	for _, bound := range []struct {
		name             string
		value, low, high time.Duration
	}{
		{"request timeout", c.RequestTimeout, 100 * time.Millisecond, time.Minute},
		{"poll every", c.PollEvery, 10 * time.Millisecond, 10 * time.Minute},
		{"refused every", c.RefusedEvery, time.Second, time.Hour},
		{"retention", c.Retention, time.Hour, 10 * 366 * 24 * time.Hour},
	} {
		if bound.value < bound.low || bound.value > bound.high {
			return fmt.Errorf("%s: %s; must be %s to %s", bound.name, bound.value, bound.low, bound.high)
		}
	}
	return errors.Join(c.Slack.validate(), c.Webhook.validate())
}

func (s *SlackConfig) validate() error {
	if s.Token == "" {
		return nil
	}
	if strings.ContainsAny(s.Token+s.SigningSecret, " \r\n\t") {
		return errors.New("slack: token and signing secret: must be one line each, without spaces")
	}
	if s.Channel == "" {
		return errors.New("slack: channel: must be named")
	}
	for severity, channel := range s.Channels {
		if severity < anomaly.Low || severity > anomaly.Critical || channel == "" {
			return fmt.Errorf("slack: channels: %s: must be a severity and a channel", severity)
		}
	}
	if s.DigestAt >= 24*time.Hour {
		return errors.New("slack: digest: must be before midnight")
	}
	if err := CheckURL(s.APIURL); err != nil {
		return fmt.Errorf("slack: API URL: %w", err)
	}
	return nil
}

func (w *WebhookConfig) validate() error {
	if w.URL == "" {
		return nil
	}
	if err := CheckURL(w.URL); err != nil {
		return fmt.Errorf("webhook: URL: %w", err)
	}
	if len(w.Secret) < minSecretBytes {
		return fmt.Errorf("webhook: secret: has %d bytes; at least %d are needed", len(w.Secret), minSecretBytes)
	}
	return nil
}

// CheckURL refuses what alerts and secrets must not be sent to: anything but https, except http on this machine. The URL is not in the error: it may
// hold a password.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return errors.New("is no URL")
	case u.User != nil:
		return errors.New("has a user or password; there is no need for one")
	case u.Fragment != "":
		return errors.New("has a fragment")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && onLoopback(u.Hostname()):
		return nil
	}
	return errors.New("must begin with https://, or http:// and an address of this machine")
}

func onLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// Deps are the systems that a Notifier works with. It closes none of them.
type Deps struct {
	Kafka   *kafkaio.Client
	Vault   *vault.Vault
	Metrics prometheus.Registerer
	Log     *slog.Logger
	// Reveal returns whom a pseudonym stands for, and says in the log that it was asked. It is called each time that a message is made, if
	// SlackConfig.ShowIdentities. nil: nobody is named.
	Reveal func(ctx context.Context, tenant string, subject uuid.UUID) (string, error)
	// Checkpoints returns the latest signed checkpoint of each log, for the digest. nil: it has none.
	Checkpoints func(ctx context.Context) ([]Checkpoint, error)
	// Feedback is told what somebody said of an incident, before anything shows it; after an error they can press again. By is a pseudonym of the user of
	// Slack, the same for the same person as long as the signing secret is, and At is the time of the press as Slack says. It must bear being told twice of
	// one press (same Incident, By and At), and has about two seconds. nil: presses are refused.
	Feedback func(ctx context.Context, order alert.Order) error
}

// Checkpoint is how far a log was signed.
type Checkpoint struct {
	Log  string    `json:"log"`
	Size uint64    `json:"size"` // entries
	Root string    `json:"root"` // hash, base64
	At   time.Time `json:"at"`
}
