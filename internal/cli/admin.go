package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/engine"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/telemetry"
	"github.com/agentaudit/agentaudit/internal/vault"
)

type setupCommand struct {
	CreateKeys bool `help:"Also make the keyring (keys.source) and the exporter's key, each only if it does not exist yet."`
}

// Help is printed by `setup --help`.
func (setupCommand) Help() string {
	return `Makes what the processes expect to find: the vault's and ClickHouse's tables and the topics. What is there already is
left as it is or brought up to date; run it before a new version is started. 'agentaudit up' does it by itself.`
}

func (c *setupCommand) Run(ctx context.Context, w *world) error {
	cfg, err := w.config()
	if err != nil {
		return err
	}
	if c.CreateKeys {
		if err := createMissingKeys(ctx, cfg, w.stdout); err != nil {
			return err
		}
	}
	if err := process.Setup(ctx, cfg, kafkaio.Deps{}); err != nil {
		return err
	}
	_, err = fmt.Fprintln(w.stdout, "topics and tables are ready")
	return err
}

type keysCreateCommand struct{}

// Help is printed by `keys create --help`.
func (keysCreateCommand) Help() string {
	return `Makes the keyring that keys.source names, with one generation of the key-encryption key. Keep a copy apart from the vault's
backups: without the keyring nobody can read the vault, and with it an old backup gives back what was erased.`
}

func (keysCreateCommand) Run(ctx context.Context, w *world) error {
	cfg, err := w.config()
	if err != nil {
		return err
	}
	_, err = vault.CreateKeyring(ctx, process.KeyConfig(cfg))
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already and is not replaced: what the vault holds would be lost", cfg.Keys.Source)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.stdout, "made %s\n", cfg.Keys.Source)
	return err
}

type keysCreateAuthorCommand struct {
	Name string `arg:"" optional:"" enum:"exporter,detector" default:"exporter" help:"Whose: exporter or detector."`
}

// Help is printed by `keys create-author --help`.
func (keysCreateAuthorCommand) Help() string {
	return `Makes the key that exporter.author_key_file or detector.author_key_file names, with which that process signs its own records. The vault
learns the public key when the process starts, and never takes another one for that name: keep a copy. Detectors that stand by for each other
have the same key.`
}

func (c *keysCreateAuthorCommand) Run(w *world) error {
	cfg, err := w.config()
	if err != nil {
		return err
	}
	path := string(cfg.Exporter.AuthorKeyFile)
	if c.Name == "detector" {
		path = string(cfg.Detector.AuthorKeyFile)
	}
	if err := author.CreateKey(path); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.stdout, "made %s\n", path)
	return err
}

type engineFetchCommand struct{}

func (engineFetchCommand) Run(ctx context.Context, w *world) error {
	path, err := engine.Fetch(ctx, "", w.stderr)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w.stdout, path)
	return err
}

type configCommand struct{}

func (configCommand) Run(w *world) error {
	cfg, err := w.config()
	if err != nil {
		return err
	}
	return cfg.Print(w.stdout)
}

type versionCommand struct {
	JSON bool `help:"Print it as JSON."`
}

func (c versionCommand) Run(w *world) error {
	build := telemetry.ReadBuild()
	if c.JSON {
		return json.NewEncoder(w.stdout).Encode(build)
	}
	_, err := fmt.Fprintf(w.stdout, "agentaudit %s (%s)\n", build.Version, build.Go)
	return err
}
