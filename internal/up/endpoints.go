package up

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/agentaudit/agentaudit/internal/durable"
	"github.com/agentaudit/agentaudit/internal/logkeys"
)

// EndpointsFile is there while everything runs.
const EndpointsFile = "endpoints.json"

// Endpoints is endpoints.json: how scripts reach what runs.
type Endpoints struct {
	Kafka              string         `json:"kafka"`
	ClickHouse         string         `json:"clickhouse"`
	ClickHouseUser     string         `json:"clickhouse_user"`
	ClickHousePassword string         `json:"clickhouse_password"`
	HTTP               string         `json:"http"`
	Topic              string         `json:"topic"`
	AdminKeyFile       string         `json:"admin_key_file"` // an API key of the role admin
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

// noteStart keeps endpoints.json up to date after restarts.
func (u *up) noteStart(name string, pid int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.pids[name] = pid
	if !u.published {
		return
	}
	if err := u.write(); err != nil {
		u.console.printf("%s", err)
	}
}

// followKeys keeps endpoints.json up to date when the keys of checkpoints change. A folder that cannot be read at the moment is looked at again.
func (u *up) followKeys() {
	keys, err := logkeys.Load(string(u.cfg.Exporter.SigningKeys), u.cfg.Deployment)
	if err != nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.published || slices.Equal(keys.VKeys(), u.vkeys) {
		return
	}
	if err := u.write(); err != nil {
		u.console.printf("%s", err)
	}
}

// publish says that everything is ready.
func (u *up) publish() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.published = true
	return u.write()
}

// write replaces endpoints.json. The caller holds mu.
func (u *up) write() error {
	password, err := os.ReadFile(string(u.cfg.ClickHouse.PasswordFile))
	if err != nil {
		return fmt.Errorf("read the password for ClickHouse: %w", err)
	}
	keys, err := logkeys.Load(string(u.cfg.Exporter.SigningKeys), u.cfg.Deployment)
	if err != nil {
		return err
	}
	vkeys := keys.VKeys()
	err = u.options.Data.writeEndpoints(Endpoints{
		Kafka:              u.cfg.Kafka.Brokers[0],
		ClickHouse:         u.cfg.ClickHouse.Addresses[0],
		ClickHouseUser:     u.cfg.ClickHouse.User,
		ClickHousePassword: strings.TrimRight(string(password), "\r\n"),
		HTTP:               u.base(u.cfg.HTTP.Exporter),
		Topic:              u.cfg.Ingest.Topics.Events,
		AdminKeyFile:       u.options.Data.adminKey(),
		VerifierKeys:       vkeys,
		Pids:               maps.Clone(u.pids),
	})
	if err == nil {
		u.vkeys = vkeys
	}
	return err
}
