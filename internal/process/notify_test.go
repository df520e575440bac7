package process

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/notify"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

func TestNotifyConfig(t *testing.T) {
	off, err := NotifyConfig(config.DefaultConfig())
	if err != nil || off.Slack.Token != "" || off.Topic != "agent.alerts" || off.Slack.DigestAt != 8*time.Hour {
		t.Fatalf("%+v, %v", off, err)
	}
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	load := func(set ...string) (notify.Config, error) {
		c, err := config.Load(config.Sources{Set: set})
		if err != nil {
			return notify.Config{}, err
		}
		return NotifyConfig(c)
	}
	c, err := load("detector.slack.token_file="+file("xoxb-1\n"), "detector.slack.signing_secret_file="+file("shh"), "detector.slack.channel=C0123456789",
		"detector.slack.channels.critical=C0999999999", "detector.slack.digest_at=", "detector.webhook.url=https://alerts.example.com/in", "detector.webhook.secret_file="+file("0123456789abcdef\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Slack.Token != "xoxb-1" || c.Slack.SigningSecret != "shh" || c.Slack.Channels[anomaly.Critical] != "C0999999999" || len(c.Slack.Channels) != 1 ||
		c.Slack.DigestAt != notify.NoDigest || string(c.Webhook.Secret) != "0123456789abcdef" {
		t.Errorf("%+v", c)
	}
	for _, set := range [][]string{
		{"detector.slack.token_file=" + file("x")}, // no channel
		{"detector.slack.token_file=/nowhere", "detector.slack.channel=C1"},
		{"detector.slack.digest_at=25:00"}, {"detector.slack.channel=<!channel>"}, {"detector.slack.api_url=ftp://x"},
		{"detector.slack.token_file=" + file("x"), "detector.slack.channel=C1", "detector.slack.api_url=http://slack.example.com/"},
		{"detector.webhook.url=https://x"}, {"detector.webhook.url=http://alerts.example.com", "detector.webhook.secret_file=" + file("0123456789abcdef")},
		{"detector.webhook.url=https://x", "detector.webhook.secret_file=" + file("short")},
	} {
		if _, err := load(set...); err == nil {
			t.Errorf("accepted: %v", set)
		}
	}
}
