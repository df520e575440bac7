package up

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/agentaudit/agentaudit/internal/durable"
)

// Endpoints is endpoints.json: how scripts reach what runs.
type Endpoints struct {
	Kafka              string         `json:"kafka"`
	ClickHouse         string         `json:"clickhouse"`
	ClickHouseUser     string         `json:"clickhouse_user"`
	ClickHousePassword string         `json:"clickhouse_password"`
	HTTP               string         `json:"http"`
	Topic              string         `json:"topic"`
	AdminKeyFile       string         `json:"admin_key_file"` // "": there are no API keys
	VerifierKeys       []string       `json:"verifier_keys"`  // of checkpoints, those that do not sign any more included
	Pids               map[string]int `json:"pids"`
}

// writeEndpoints replaces endpoints.json, for our user only because of the password in it.
func (f Folder) writeEndpoints(e Endpoints) error {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write endpoints.json: %w", err)
	}
	if err := durable.Replace(f.endpoints(), append(text, '\n')); err != nil {
		return fmt.Errorf("write endpoints.json: %w", err)
	}
	return nil
}

// removeEndpoints says that nothing is to be reached here (any more, or yet).
func (f Folder) removeEndpoints() error {
	if err := os.Remove(f.endpoints()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the old endpoints.json: %w", err)
	}
	return nil
}
