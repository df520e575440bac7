package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/vault"
)

// createMissingKeys makes the keyring and the exporter's keys where there is none, and leaves what is there as it is. A
// keyring that was lost is not replaced unnoticed: the vault refuses another one than its own when it is opened next.
func createMissingKeys(ctx context.Context, cfg config.Config, out io.Writer) error {
	_, err := vault.CreateKeyring(ctx, process.KeyConfig(cfg))
	if err := sayMade(out, string(cfg.Keys.Source), err); err != nil {
		return err
	}
	for _, key := range []string{string(cfg.Exporter.AuthorKeyFile), string(cfg.Detector.AuthorKeyFile)} {
		if err := sayMade(out, key, author.CreateKey(key)); err != nil {
			return err
		}
	}
	made, err := logkeys.Ensure(string(cfg.Exporter.SigningKeys), cfg.Deployment)
	if err != nil || !made {
		return err
	}
	return sayMade(out, "a key in "+string(cfg.Exporter.SigningKeys), nil)
}

// sayMade says that a secret was made, and nothing if it was there.
func sayMade(out io.Writer, name string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "made %s; keep a copy apart from all other backups\n", name)
	return err
}
