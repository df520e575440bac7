// Package config holds the one configuration of all processes: its keys, their
// defaults and bounds, and how it is put together from a YAML file, the
// environment and the command line. The comments at the fields are the manual.
package config

import "github.com/agentaudit/agentaudit/pkg/chain"

// Config is everything that can be set. A key is the path of yaml names to a
// field, joined by dots: kafka.sasl.username.
//
// Values are taken, later ones winning, from the defaults, the YAML file, the
// environment (AGENTAUDIT_KAFKA__SASL__USERNAME: two underscores part the
// sections) and --set key=value. Lists are written a,b in the last two.
// Relative paths in the file are meant from the file's folder, others from the
// working directory.
type Config struct {
	// Deployment names this installation for ever: it is written into the first
	// entry of every log and into the vault, which refuses another name later.
	// 1 to 128 letters, digits, dots, underscores, hyphens and slashes; the first and last a letter or digit.
	Deployment string `yaml:"deployment"`

	Kafka      Kafka      `yaml:"kafka"`
	ClickHouse ClickHouse `yaml:"clickhouse"`
	Vault      Vault      `yaml:"vault"`
	Keys       Keys       `yaml:"keys"`
	Ingest     Ingest     `yaml:"ingest"`
	Exporter   Exporter   `yaml:"exporter"`
	Detector   Detector   `yaml:"detector"`
	Retention  Retention  `yaml:"retention"`
	Privacy    Privacy    `yaml:"privacy"`
	Scan       Scan       `yaml:"scan"`
	Embedded   Embedded   `yaml:"embedded"`
	HTTP       HTTP       `yaml:"http"`
	Log        Log        `yaml:"log"`
}

// DefaultConfig returns the values that hold where nothing is set.
func DefaultConfig() Config {
	return Config{
		Deployment: "agentaudit",
		Kafka:      defaultKafka(),
		ClickHouse: defaultClickHouse(),
		Vault:      defaultVault(),
		Keys:       defaultKeys(),
		Ingest:     defaultIngest(),
		Exporter:   defaultExporter(),
		Detector:   defaultDetector(),
		Retention:  defaultRetention(),
		Privacy:    defaultPrivacy(),
		Embedded:   defaultEmbedded(),
		HTTP:       defaultHTTP(),
		Log:        defaultLog(),
	}
}

// Validate returns the first value outside its bounds as an *Error.
func (c *Config) Validate() error {
	if chain.CheckDeployment(c.Deployment) != nil {
		return wrong("deployment", c.Deployment, "1 to 128 letters, digits, dots, underscores, hyphens and slashes, beginning and ending with a letter or digit")
	}
	return first(
		c.Kafka.validate,
		c.ClickHouse.validate,
		c.Vault.validate,
		c.Keys.validate,
		c.Ingest.validate,
		c.Exporter.validate,
		func() error { return c.Exporter.validateWitnesses(c.Deployment) },
		c.Detector.validate,
		c.Retention.validate,
		c.Privacy.validate,
		c.Embedded.validate,
		c.HTTP.validate,
		c.Log.validate,
	)
}
