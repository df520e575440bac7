package config

import "fmt"

// Kafka says how to reach the cluster and how topics are made.
type Kafka struct {
	// Brokers to ask first, host:port. The cluster names the others.
	Brokers []string `yaml:"brokers"`
	// ClientID is what the brokers' logs and quotas call these processes.
	ClientID string `yaml:"client_id"`
	TLS      TLS    `yaml:"tls"`
	SASL     SASL   `yaml:"sasl"`
	// Partitions that a topic gets when "agentaudit setup" (or up) makes it; 1 to 1024.
	// Topics that exist are left as they are.
	Partitions int `yaml:"partitions"`
	// ReplicationFactor of topics that are made: 1 to 15, or -1 for the cluster's own default.
	ReplicationFactor int `yaml:"replication_factor"`
}

// TLS protects a connection that we open.
type TLS struct {
	// Enabled turns TLS on. The server's certificate is always checked.
	Enabled bool `yaml:"enabled"`
	// CAFile holds the authorities to trust, PEM. Empty: the system's.
	CAFile Path `yaml:"ca_file"`
	// CertFile and KeyFile are our own certificate, PEM, for servers that ask for one. Both or neither.
	CertFile Path `yaml:"cert_file"`
	KeyFile  Path `yaml:"key_file"`
	// ServerName is what the server's certificate must be for. Empty: the name that was dialled.
	ServerName string `yaml:"server_name"`
}

// SASL logs in to Kafka.
type SASL struct {
	// Mechanism is plain, scram-sha-256 or scram-sha-512. Empty: no login.
	Mechanism string `yaml:"mechanism"`
	Username  string `yaml:"username"`
	// PasswordFile holds the password; a last line break is not part of it.
	PasswordFile Path `yaml:"password_file"`
	// Password is read from the environment only: AGENTAUDIT_KAFKA__SASL__PASSWORD.
	Password Secret `yaml:"password"`
}

func defaultKafka() Kafka {
	return Kafka{
		Brokers:           []string{"127.0.0.1:9092"},
		ClientID:          "agentaudit",
		Partitions:        4,
		ReplicationFactor: -1,
	}
}

func (k *Kafka) validate() error {
	if len(k.Brokers) == 0 {
		return wrong("kafka.brokers", "", "at least one host:port")
	}
	for _, broker := range k.Brokers {
		if !isHostPort(broker) {
			return wrong("kafka.brokers", broker, "host:port")
		}
	}
	if k.ClientID == "" {
		return wrong("kafka.client_id", "", "a name")
	}
	if err := between("kafka.partitions", k.Partitions, 1, 1024); err != nil {
		return err
	}
	if k.ReplicationFactor != -1 {
		if err := between("kafka.replication_factor", k.ReplicationFactor, 1, 15); err != nil {
			return wrong("kafka.replication_factor", fmt.Sprint(k.ReplicationFactor), "-1 (the cluster's default) or 1 to 15")
		}
	}
	return first(
		func() error { return k.TLS.validate("kafka.tls") },
		k.SASL.validate,
	)
}

func (t *TLS) validate(key string) error {
	if (t.CertFile == "") != (t.KeyFile == "") {
		return wrong(key+".cert_file", string(t.CertFile), "set together with "+key+".key_file, or neither")
	}
	if t.Enabled {
		return nil
	}
	for _, set := range []struct{ name, value string }{
		{"ca_file", string(t.CAFile)}, {"cert_file", string(t.CertFile)}, {"server_name", t.ServerName},
	} {
		if set.value != "" {
			return wrong(key+"."+set.name, set.value, "empty as long as "+key+".enabled is false")
		}
	}
	return nil
}

func (s *SASL) validate() error {
	if err := oneOf("kafka.sasl.mechanism", s.Mechanism, "", "plain", "scram-sha-256", "scram-sha-512"); err != nil {
		return err
	}
	if s.Mechanism == "" {
		if s.Username != "" {
			return wrong("kafka.sasl.username", s.Username, "empty as long as kafka.sasl.mechanism is")
		}
		return nil
	}
	if s.Username == "" {
		return wrong("kafka.sasl.username", "", "a name, because kafka.sasl.mechanism is set")
	}
	return secretGiven("kafka.sasl.password", s.Password, s.PasswordFile)
}
