package cli

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/agentaudit/agentaudit/internal/logkeys"
)

type keysListCommand struct {
	JSON bool `help:"Print the keys as JSON."`
}

// Help is printed by `keys list --help`.
func (keysListCommand) Help() string {
	return `Prints the public keys of checkpoints, which 'verify-proof --key' and 'verify --key' take. Give them to auditors in a way that
these machines have no part in. Keys that do not sign any more are needed for checkpoints from their time.`
}

// keyLine is one key in `keys list --json`.
type keyLine struct {
	ID      string `json:"id"`
	VKey    string `json:"vkey"`
	Signing bool   `json:"signing"`
}

func (c *keysListCommand) Run(w *world) error {
	cfg, err := w.config()
	if err != nil {
		return err
	}
	folder, err := logkeys.Load(string(cfg.Exporter.SigningKeys), cfg.Deployment)
	if err != nil {
		return err
	}
	lines := []keyLine{}
	for _, key := range folder.Keys() {
		lines = append(lines, keyLine{key.ID, key.VKey, key.Signing})
	}
	if c.JSON {
		return json.NewEncoder(w.stdout).Encode(lines)
	}
	if len(lines) == 0 {
		return fmt.Errorf("there is no key in %s; 'keys rotate' makes one", cfg.Exporter.SigningKeys)
	}
	for _, line := range lines {
		state := "retired"
		if line.Signing {
			state = "signing"
		}
		if _, err := fmt.Fprintf(w.stdout, "%s  %s  %s\n", line.ID, state, line.VKey); err != nil {
			return err
		}
	}
	return nil
}

type keysRotateCommand struct {
	Retire string `help:"Let this key sign no more, instead of making one. The others must be known to all who verify." placeholder:"ID"`
}

// Help is printed by `keys rotate --help`.
func (keysRotateCommand) Help() string {
	return `Replaces the key that signs checkpoints, in two steps. First, without flags, it makes the next key: from then on both sign
(exporters see it within exporter.republish_every; copy the folder to each of them). When everybody who verifies has the new
public key, 'keys rotate --retire ID' removes the old private key. What it has signed can be verified for ever.`
}

func (c *keysRotateCommand) Run(w *world) error {
	cfg, err := w.config()
	if err != nil {
		return err
	}
	folder := string(cfg.Exporter.SigningKeys)
	if c.Retire != "" {
		if err := logkeys.Retire(folder, cfg.Deployment, c.Retire); err != nil {
			return err
		}
		_, err = fmt.Fprintf(w.stdout, "key %s signs no more\n", c.Retire)
		return err
	}
	if _, err := logkeys.Load(folder, cfg.Deployment); err != nil {
		return errors.Join(errors.New("the keys that are there cannot be read"), err)
	}
	key, err := logkeys.Create(folder, cfg.Deployment)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.stdout, "made key %s; give its public key to all who verify, then retire the old one:\n%s\n", key.ID, key.VKey)
	return err
}
