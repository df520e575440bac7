package config

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

// Keys says where the key-encryption key is, which wraps all that the vault holds.
type Keys struct {
	// KEK is file:PATH (a keyring made by "agentaudit keys create" or up), env:NAME (a variable that
	// holds such a keyring), or the URL of a key service.
	KEK KeySource `yaml:"kek"`
}

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

func (k *Keys) validate() error { return nil }
