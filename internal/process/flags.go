// Package process is the frame around our programs: where the configuration comes
// from, how the outside systems are opened with it, and how a long-running process
// starts, shows its health and ends.
package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/agentaudit/agentaudit/internal/config"
)

// ConfigFile is the configuration in a folder made by "agentaudit up".
const ConfigFile = "config.yaml"

// Flags say which deployment is meant. Every command has them.
type Flags struct {
	Data   string   `help:"Folder of 'agentaudit up': its config.yaml is used. Default: $AGENTAUDIT_DATA." type:"path" placeholder:"DIR" xor:"deployment"`
	Config string   `help:"Configuration, YAML. Default: $AGENTAUDIT_CONFIG." type:"path" placeholder:"FILE" xor:"deployment"`
	Set    []string `help:"Set one configuration key; repeat for more. Secrets are taken from files and the environment only." placeholder:"KEY=VALUE" sep:"none"`
}

// Load reads the configuration that the flags and the environment name. Errors are one line each.
func (f Flags) Load(environ []string) (config.Config, error) {
	if f.Data == "" && f.Config == "" {
		f.Config = variable(environ, "AGENTAUDIT_CONFIG")
	}
	if f.Data == "" && f.Config == "" {
		f.Data = variable(environ, "AGENTAUDIT_DATA")
	}
	file := f.Config
	if f.Data != "" {
		file = filepath.Join(f.Data, ConfigFile)
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return config.Config{}, fmt.Errorf("%s has no %s: is it a folder made by 'agentaudit up --data %s'?", f.Data, ConfigFile, f.Data)
		}
	}
	if !f.Given(environ) {
		return config.Config{}, errors.New("which deployment? Give --data DIR (a folder of 'agentaudit up') or --config FILE")
	}
	return config.Load(config.Sources{File: file, Env: environ, Set: f.Set})
}

// Given tells whether flags or environment say anything about a deployment.
func (f Flags) Given(environ []string) bool {
	return f.Data != "" || f.Config != "" || len(f.Set) > 0 || variable(environ, "AGENTAUDIT_CONFIG") != "" || variable(environ, "AGENTAUDIT_DATA") != "" ||
		config.InEnvironment(environ)
}

// variable returns the value of an environment variable; the last one counts, as for os.Getenv.
func variable(environ []string, name string) (value string) {
	for _, pair := range environ {
		if v, ok := strings.CutPrefix(pair, name+"="); ok {
			value = v
		}
	}
	return value
}
