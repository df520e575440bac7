package config

// Scan is what ingest and the detector look for in texts. Both must have the same, or alerts are about other findings than those that are sealed.
type Scan struct {
	// PatternsFile holds patterns of your own (docs/detection.md). Empty: what is built in.
	PatternsFile Path `yaml:"patterns_file"`
}
