package config

import (
	"bytes"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// Print writes c as YAML that Load can read, but for the secrets, which are withheld.
func (c *Config) Print(w io.Writer) error {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(c); err != nil {
		return fmt.Errorf("write the configuration as YAML: %w", err)
	}
	_, err := w.Write(out.Bytes())
	return err
}
