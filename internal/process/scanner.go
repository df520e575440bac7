package process

import (
	"errors"
	"fmt"
	"os"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// NewScanner makes what looks for findings in texts, with the deployment's own patterns.
func NewScanner(c config.Config) (_ *scan.Scanner, err error) {
	var options scan.Options
	if path := string(c.Scan.PatternsFile); path != "" {
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("scan.patterns_file: %w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		if options.Patterns, err = scan.ParsePatterns(file); err != nil {
			return nil, fmt.Errorf("scan.patterns_file: %s: %w", path, err)
		}
	}
	return scan.New(options)
}
