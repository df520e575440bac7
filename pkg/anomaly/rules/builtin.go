package rules

import (
	_ "embed"
	"slices"
)

//go:embed builtin.yaml
var builtIn []byte

// builtInName stands in errors about the built-in rules, which a list of one's own may bring about.
const builtInName = "built-in rules"

// BuiltInText returns the built-in rules as a file, with what there is to say about each.
func BuiltInText() []byte { return slices.Clone(builtIn) }

// BuiltIn returns the built-in rules.
func BuiltIn() (*Set, error) { return Parse(builtInName, []byte("version: 1\n")) }
