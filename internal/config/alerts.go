package config

import (
	"regexp"
	"strings"
	"time"
)

// Slack is where in Slack alerts go. docs/detection.md says how to make the app.
type Slack struct {
	// APIURL is Slack's Web API; without TLS on this machine only.
	APIURL string `yaml:"api_url"`
	// TokenFile holds the token of the app's bot (xoxb-…). Empty: Slack is off, and alerts are printed in the detector's log.
	TokenFile Path `yaml:"token_file"`
	// SigningSecretFile holds the secret with which Slack signs presses of buttons. Empty: alerts have no buttons.
	SigningSecretFile Path `yaml:"signing_secret_file"`
	// Channel is where alerts go that are not routed below, and the digest: the channel's id (C…), or its name.
	Channel  string        `yaml:"channel"`
	Channels SlackChannels `yaml:"channels"`
	// ShowIdentities shows who a pseudonym is. Each time is noted in the log; but what stands in Slack is not erased with the person.
	ShowIdentities bool `yaml:"show_identities"`
	// DigestAt is when the day before is summarised in channel, HH:MM in UTC. Empty: never.
	DigestAt string `yaml:"digest_at"`
}

// SlackChannels are the channels of single severities. Empty: detector.slack.channel.
type SlackChannels struct {
	// Low, Medium, High and Critical are ids or names of channels.
	Low      string `yaml:"low"`
	Medium   string `yaml:"medium"`
	High     string `yaml:"high"`
	Critical string `yaml:"critical"`
}

// Webhook is where alerts are posted as JSON, each revision signed.
type Webhook struct {
	// URL begins with https://, or http:// on this machine only. Empty: there is no webhook.
	URL string `yaml:"url"`
	// SecretFile holds the secret that signs what is posted, at least 16 characters; a last line break is not part of it.
	SecretFile Path `yaml:"secret_file"`
}

func defaultSlack() Slack { return Slack{APIURL: "https://slack.com/api/", DigestAt: "08:00"} }

var (
	slackChannel = regexp.MustCompile(`^[#A-Za-z0-9._-]{1,80}$`)
	timeOfDay    = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)
)

func (s *Slack) validate() error {
	if s.TokenFile != "" && s.Channel == "" {
		return wrong("detector.slack.channel", "", "a channel, because detector.slack.token_file is set")
	}
	for _, channel := range []struct{ key, value string }{
		{"channel", s.Channel}, {"channels.low", s.Channels.Low}, {"channels.medium", s.Channels.Medium}, {"channels.high", s.Channels.High},
		{"channels.critical", s.Channels.Critical},
	} {
		if channel.value != "" && !slackChannel.MatchString(channel.value) {
			return wrong("detector.slack."+channel.key, channel.value, "the id of a channel, such as C0123456789, or its name")
		}
	}
	if s.DigestAt != "" && !timeOfDay.MatchString(s.DigestAt) {
		return wrong("detector.slack.digest_at", s.DigestAt, "a time of the day, HH:MM, or empty")
	}
	return isReceiver("detector.slack.api_url", s.APIURL)
}

// Digest returns DigestAt after midnight, and false if there is none.
func (s *Slack) Digest() (time.Duration, bool) {
	at, err := time.Parse("15:04", s.DigestAt)
	if err != nil {
		return 0, false
	}
	return time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute, true
}

func (w *Webhook) validate() error {
	if (w.URL == "") != (w.SecretFile == "") {
		return wrong("detector.webhook.secret_file", string(w.SecretFile), "set together with detector.webhook.url, or neither")
	}
	if w.URL == "" {
		return nil
	}
	return isReceiver("detector.webhook.url", w.URL)
}

// isReceiver refuses what can be seen to be wrong with a URL; internal/notify has the rest. The URL is not quoted: it may hold a secret.
func isReceiver(key, url string) error {
	if !strings.HasPrefix(url, "https://") && !strings.HasPrefix(url, "http://") {
		return wrong(key, withheld, "a URL that begins with https://, or http:// on this machine")
	}
	return nil
}
