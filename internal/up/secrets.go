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
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/vault"
)

// makeSecrets makes, once, the engine's password, the key of the exporter's own records, and the keyring.
func (f Folder) makeSecrets(ctx context.Context, c config.Config) error {
	if _, err := os.Stat(f.password()); errors.Is(err, fs.ErrNotExist) {
		if err := writeFile(f.password(), []byte(rand.Text()+"\n")); err != nil {
			return fmt.Errorf("write the password for ClickHouse: %w", err)
		}
	}
	if err := author.CreateKey(f.authorKey()); err != nil && !errors.Is(err, fs.ErrExist) {
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
