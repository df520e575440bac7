package process

import (
	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/notify"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// NotifyConfig is what a Notifier is told, with the secrets from their files.
func NotifyConfig(c config.Config) (notify.Config, error) {
	from, to := c.Detector, notify.DefaultConfig()
	to.Topic = from.AlertsTopic
	token, err := secret("detector.slack.token", "", from.Slack.TokenFile)
	if err != nil {
		return notify.Config{}, err
	}
	signing, err := secret("detector.slack.signing_secret", "", from.Slack.SigningSecretFile)
	if err != nil {
		return notify.Config{}, err
	}
	webhook, err := secret("detector.webhook.secret", "", from.Webhook.SecretFile)
	if err != nil {
		return notify.Config{}, err
	}
	to.Slack = notify.SlackConfig{
		APIURL: from.Slack.APIURL, Token: token, SigningSecret: signing, Channel: from.Slack.Channel, Channels: map[anomaly.Severity]string{},
		ShowIdentities: from.Slack.ShowIdentities, DigestAt: notify.NoDigest,
	}
	for severity, channel := range map[anomaly.Severity]string{
		anomaly.Low: from.Slack.Channels.Low, anomaly.Medium: from.Slack.Channels.Medium, anomaly.High: from.Slack.Channels.High, anomaly.Critical: from.Slack.Channels.Critical,
	} {
		if channel != "" {
			to.Slack.Channels[severity] = channel
		}
	}
	if at, ok := from.Slack.Digest(); ok {
		to.Slack.DigestAt = at
	}
	to.Webhook = notify.WebhookConfig{URL: from.Webhook.URL, Secret: []byte(webhook)}
	return to, to.Validate()
}
