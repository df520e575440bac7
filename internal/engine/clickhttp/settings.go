package clickhttp

import (
	"maps"
	"slices"
	"strings"
)

// settings are what a request asks of its connection.
type settings struct {
	values   map[string]string // without readonly
	database string            // "" is default
	readonly string            // "" or "0" is none
}

// key tells connections apart: equal keys, equal state.
func (s *settings) key() string {
	var b strings.Builder
	b.WriteString(quote(s.database))
	b.WriteString(s.readonly)
	for _, name := range slices.Sorted(maps.Keys(s.values)) {
		b.WriteString(quote(name))
		b.WriteString(quote(s.values[name]))
	}
	return b.String()
}

// statements bring a new connection into this state. readonly comes last, since nothing can be
// set after it.
func (s *settings) statements() []string {
	var out []string
	if s.database != "" {
		out = append(out, "USE "+quoteName(s.database))
	}
	if len(s.values) > 0 {
		out = append(out, setStatement(s.values))
	}
	if s.readonly != "" && s.readonly != "0" {
		out = append(out, "SET readonly = "+quote(s.readonly))
	}
	return out
}

func setStatement(values map[string]string) string {
	var b strings.Builder
	b.WriteString("SET ")
	for i, name := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quoteName(name) + " = " + quote(values[name]))
	}
	return b.String()
}

var (
	stringEscapes = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `\0`)
	nameEscapes   = strings.NewReplacer(`\`, `\\`, "`", "\\`", "\x00", `\0`)
)

// quote makes a string literal, quoteName an identifier.
func quote(s string) string     { return "'" + stringEscapes.Replace(s) + "'" }
func quoteName(s string) string { return "`" + nameEscapes.Replace(s) + "`" }
