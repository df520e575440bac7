package store

import (
	"maps"
	"strings"
)

// params are a request's settings, its session, and the values of {name:Type} in its
// statement, these under param_name.
type params map[string]string

// with returns p with more on top.
func (p params) with(more params) params {
	all := maps.Clone(p)
	maps.Copy(all, more)
	return all
}

// ClickHouse reads the value of a parameter as a field of TabSeparated.
var fieldEscapes = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`, "\b", `\b`, "\f", `\f`)

// paramText is the value of a parameter of type String.
func paramText(s string) string { return fieldEscapes.Replace(s) }

// quoteEscapes are those of a string literal, as it stands in the text of an array.
var quoteEscapes = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)

// paramTexts is the value of a parameter of type Array(String) or Array(UUID). Within the
// quotes of an array nothing is escaped twice.
func paramTexts(all []string) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, s := range all {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("'" + quoteEscapes.Replace(s) + "'")
	}
	b.WriteByte(']')
	return b.String()
}
