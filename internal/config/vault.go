package config

import (
	"strings"
	"time"
)

// Vault is where identities and their keys live.
type Vault struct {
	// Driver is sqlite (one machine) or postgres.
	Driver string `yaml:"driver"`
	// Path of the SQLite file.
	Path Path `yaml:"path"`
	// DSNFile holds the PostgreSQL connection string, password included.
	DSNFile Path `yaml:"dsn_file"`
	// DSN is read from the environment only: AGENTAUDIT_VAULT__DSN.
	DSN Secret `yaml:"dsn"`
}

// Keys says where the keyring is: the key-encryption keys that wrap all that the vault holds.
type Keys struct {
	// Source is file:PATH (made by "agentaudit keys create" or up; nobody else may have access to it) or
	// env:NAME, a variable that holds the content of such a file.
	Source KeySource `yaml:"source"`
	// KMS is the URL of a key service's key under which the keyring is encrypted, such as
	// awskms://alias/agentaudit or hashivault://agentaudit. Empty: it is not.
	KMS string `yaml:"kms"`
	// RotateEvery is how often the exporter replaces the key-encryption key and destroys the old one, so that old
	// backups of the vault die. Only where all processes read one keyring file. 0: never, "agentaudit vault rotate" does it.
	RotateEvery time.Duration `yaml:"rotate_every"`
}

func defaultKeys() Keys { return Keys{Source: "file:keyring"} }

func defaultVault() Vault {
	return Vault{Driver: "sqlite", Path: "vault.db"}
}

func (v *Vault) validate() error {
	if err := oneOf("vault.driver", v.Driver, "sqlite", "postgres"); err != nil {
		return err
	}
	if v.Driver == "postgres" {
		return secretGiven("vault.dsn", v.DSN, v.DSNFile)
	}
	if v.Path == "" {
		return wrong("vault.path", "", "the path of the SQLite file")
	}
	return nil
}

func (k *Keys) validate() error {
	kind, place, _ := strings.Cut(string(k.Source), ":")
	if (kind != "file" && kind != "env") || place == "" {
		return wrong("keys.source", string(k.Source), "file:PATH or env:NAME")
	}
	if k.RotateEvery != 0 && (kind != "file" || k.RotateEvery < time.Hour) {
		return wrong("keys.rotate_every", k.RotateEvery.String(), "0, or 1h or more with keys.source: file:PATH")
	}
	if k.KMS != "" && !strings.Contains(k.KMS, "://") {
		return wrong("keys.kms", k.KMS, "the URL of a key in a key service, or empty")
	}
	return nil
}
