package up

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/durable"
	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/vault"
)

// makeSecrets makes, once, the engine's password, the keys of the exporter's own records and of checkpoints, and the keyring.
func (f Folder) makeSecrets(ctx context.Context, c config.Config) error {
	if _, err := os.Stat(f.password()); errors.Is(err, fs.ErrNotExist) {
		if err := durable.Replace(f.password(), []byte(rand.Text()+"\n")); err != nil {
			return fmt.Errorf("write the password for ClickHouse: %w", err)
		}
	}
	for _, key := range []string{f.authorKey(), f.detectorKey()} {
		if err := author.CreateKey(key); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err := makeSigningKey(c); err != nil {
		return err
	}
	if _, err := os.Stat(f.keyring()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	keys := process.KeyConfig(c)
	if keys.Source != "file:"+f.keyring() {
		return nil // somebody set a keyring of their own
	}
	// A vault without its keyring is lost; a new keyring would only hide that.
	if _, err := os.Stat(string(c.Vault.Path)); c.Vault.Driver == vault.DriverSQLite && err == nil {
		return fmt.Errorf("%s is missing, and without it nobody can read %s: put it back from your backup", f.keyring(), c.Vault.Path)
	}
	if _, err := vault.CreateKeyring(ctx, keys); err != nil {
		return fmt.Errorf("make the keyring: %w", err)
	}
	return nil
}

// makeSigningKey makes the first key that signs checkpoints.
func makeSigningKey(c config.Config) error {
	folder := string(c.Exporter.SigningKeys)
	keys, err := logkeys.Load(folder, c.Deployment)
	if err != nil || len(keys.Keys()) > 0 {
		return err
	}
	// Whoever knows the old key would take the logs for forged. That must not come about by itself.
	if _, err := os.Stat(string(c.Vault.Path)); c.Vault.Driver == vault.DriverSQLite && err == nil {
		return fmt.Errorf("%s is empty, but there are logs that its keys have signed: put it back from your backup, or make another key with \"agentaudit keys rotate\"", folder)
	}
	_, err = logkeys.Create(folder, c.Deployment)
	return err
}
