package config

// GDPR says how people's requests come in, besides over HTTP and the command line.
type GDPR struct {
	// Topic is the Kafka topic from which requests are read. Empty: none is.
	Topic string `yaml:"topic"`
	// Group is the consumer group that reads it.
	Group string `yaml:"group"`
	// TrustedTopic takes the word of whoever may write the topic that a request is the person's own: it is carried out at once. Otherwise each waits for
	// "agentaudit gdpr verify", or the same over HTTP.
	TrustedTopic bool `yaml:"trusted_topic"`
}

func defaultGDPR() GDPR { return GDPR{Topic: "gdpr.requests", Group: "agentaudit-exporter"} }

func (g *GDPR) validate() error {
	if g.Topic != "" && g.Group == "" {
		return wrong("exporter.gdpr.group", "", "a name")
	}
	return nil
}
