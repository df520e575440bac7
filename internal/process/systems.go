package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/ledger"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
)

// Systems are the three that a deployment stands on.
type Systems struct {
	Vault *vault.Vault
	Store *store.Store
	Kafka *kafkaio.Client
}

// Open opens the vault and the store, and makes a Kafka client, which connects when it is used.
func Open(ctx context.Context, c config.Config, deps kafkaio.Deps) (*Systems, error) {
	s, err := OpenWithoutStore(ctx, c, deps)
	if err != nil {
		return nil, err
	}
	if s.Store, err = OpenStore(ctx, c); err != nil {
		_ = s.Close() // the reason for failing is the one to report
		return nil, err
	}
	return s, nil
}

// OpenWithoutStore is Open for what goes on while ClickHouse is away.
func OpenWithoutStore(ctx context.Context, c config.Config, deps kafkaio.Deps) (_ *Systems, err error) {
	s := &Systems{}
	defer func() {
		if err != nil {
			_ = s.Close() // the reason for failing is the one to report
		}
	}()
	forged, err := newForgedRows(deps)
	if err != nil {
		return nil, err
	}
	if s.Vault, err = OpenVault(ctx, c, forged); err != nil {
		return nil, err
	}
	if s.Kafka, err = OpenKafka(c, deps); err != nil {
		return nil, err
	}
	return s, nil
}

// Close closes what is open, in reverse order.
func (s *Systems) Close() error {
	var errs []error
	if s.Kafka != nil {
		s.Kafka.Close()
	}
	if s.Store != nil {
		errs = append(errs, s.Store.Close())
	}
	if s.Vault != nil {
		errs = append(errs, s.Vault.Close())
	}
	return errors.Join(errs...)
}

// OpenStore opens ClickHouse as c says.
func OpenStore(ctx context.Context, c config.Config) (*store.Store, error) {
	cfg, err := storeConfig(c)
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, cfg)
}

func storeConfig(c config.Config) (store.Config, error) {
	password, err := secret("clickhouse.password", c.ClickHouse.Password, c.ClickHouse.PasswordFile)
	if err != nil {
		return store.Config{}, err
	}
	return store.Config{
		Addresses:      c.ClickHouse.Addresses,
		Database:       c.ClickHouse.Database,
		User:           c.ClickHouse.User,
		Password:       password,
		TLS:            store.TLS{CAFile: string(c.ClickHouse.TLS.CAFile), CertFile: string(c.ClickHouse.TLS.CertFile), KeyFile: string(c.ClickHouse.TLS.KeyFile)},
		Cluster:        c.ClickHouse.Cluster,
		ReplicatedPath: c.ClickHouse.ReplicatedPath,
		MaxExecution:   c.ClickHouse.MaxExecution,
		InsertTimeout:  c.ClickHouse.InsertTimeout,
		QueryTimeout:   c.ClickHouse.QueryTimeout,
	}, nil
}

// OpenVault opens the vault as c says. forged is told of rows that are not ours, see vault.Config; nil: nobody is.
func OpenVault(ctx context.Context, c config.Config, forged func(*vault.ForgedError)) (*vault.Vault, error) {
	keyring, err := vault.OpenKeyring(ctx, KeyConfig(c))
	if err != nil {
		return nil, fmt.Errorf("keys.source: %w", err)
	}
	dsn := string(c.Vault.Path)
	if c.Vault.Driver == vault.DriverPostgres {
		if dsn, err = secret("vault.dsn", c.Vault.DSN, c.Vault.DSNFile); err != nil {
			return nil, err
		}
	}
	return vault.Open(ctx, vault.Config{Driver: c.Vault.Driver, DSN: dsn, Deployment: c.Deployment, Forged: forged}, keyring)
}

// KeyConfig says where the keyring is.
func KeyConfig(c config.Config) vault.KeyConfig {
	return vault.KeyConfig{Source: string(c.Keys.Source), KMS: c.Keys.KMS}
}

// OpenKafka makes a client as c says. It connects when it is used.
func OpenKafka(c config.Config, deps kafkaio.Deps) (*kafkaio.Client, error) {
	cfg := kafkaio.DefaultConfig()
	cfg.Brokers = c.Kafka.Brokers
	cfg.ClientID = c.Kafka.ClientID
	cfg.TLS = kafkaio.TLSConfig{
		Enabled:    c.Kafka.TLS.Enabled,
		CAFile:     string(c.Kafka.TLS.CAFile),
		CertFile:   string(c.Kafka.TLS.CertFile),
		KeyFile:    string(c.Kafka.TLS.KeyFile),
		ServerName: c.Kafka.TLS.ServerName,
	}
	cfg.SASL = kafkaio.SASLConfig{
		Mechanism:    c.Kafka.SASL.Mechanism,
		Username:     c.Kafka.SASL.Username,
		PasswordFile: string(c.Kafka.SASL.PasswordFile),
		Password:     c.Kafka.SASL.Password.Reveal(),
	}
	return kafkaio.New(cfg, deps)
}

// LedgerConfig returns the bounds on time of those who extend logs.
func LedgerConfig(c config.Config) ledger.Config {
	cfg := ledger.DefaultConfig()
	cfg.InsertTimeout = c.ClickHouse.InsertTimeout
	cfg.MaxExecution = c.ClickHouse.MaxExecution
	return cfg
}

// secret returns the value that the environment gave, or the content of the file without its last line break.
// Having neither is an empty secret.
func secret(key string, value config.Secret, file config.Path) (string, error) {
	if value != "" || file == "" {
		return value.Reveal(), nil
	}
	text, err := os.ReadFile(string(file))
	if err != nil {
		return "", fmt.Errorf("%s_file: %w", key, err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
