package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fields maps each key to the field of c that it sets.
func fields(c *Config) map[string]reflect.Value {
	found := make(map[string]reflect.Value)
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			key := prefix + v.Type().Field(i).Tag.Get("yaml")
			if v.Field(i).Kind() == reflect.Struct {
				walk(key+".", v.Field(i))
				continue
			}
			found[key] = v.Field(i)
		}
	}
	walk("", reflect.ValueOf(c).Elem())
	return found
}

// Known returns all keys in order.
func Known() []string {
	var c Config
	return slices.Sorted(maps.Keys(fields(&c)))
}

func isSecret(field reflect.Value) bool { return field.Type() == reflect.TypeFor[Secret]() }

// set writes raw, as YAML or the environment gave it, into field. The error says what was wanted.
func set(field reflect.Value, raw any) error {
	text, isText := scalar(raw)
	switch target := field.Addr().Interface().(type) {
	case *time.Duration:
		duration, err := time.ParseDuration(text)
		if !isText || err != nil {
			return fmt.Errorf("a duration such as 200ms or 1h")
		}
		*target = duration
		return nil
	case encoding.TextUnmarshaler:
		if !isText || target.UnmarshalText([]byte(text)) != nil {
			return fmt.Errorf("a size such as 64MiB")
		}
		return nil
	case *[]string:
		list, ok := texts(raw)
		if !ok {
			return fmt.Errorf("a list of texts")
		}
		*target = list
		return nil
	}
	if !isText {
		return fmt.Errorf("a single value")
	}
	switch field.Kind() {
	case reflect.String:
		field.SetString(text)
	case reflect.Int:
		number, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("a whole number")
		}
		field.SetInt(number)
	case reflect.Float64:
		number, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("a number such as 1.7")
		}
		field.SetFloat(number)
	case reflect.Bool:
		truth, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("true or false")
		}
		field.SetBool(truth)
	default:
		return fmt.Errorf("of a type that this program knows (%s)", field.Type())
	}
	return nil
}

// scalar returns the text of a single value.
func scalar(raw any) (string, bool) {
	switch raw := raw.(type) {
	case string:
		return raw, true
	case nil:
		return "", true
	case int, int64, uint64, float64, bool:
		return fmt.Sprint(raw), true
	}
	return "", false
}

// texts returns a list, which the environment writes as a,b.
func texts(raw any) ([]string, bool) {
	switch raw := raw.(type) {
	case nil:
		return nil, true
	case string:
		var list []string
		for part := range strings.SplitSeq(raw, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
		return list, true
	case []any:
		var list []string
		for _, item := range raw {
			text, ok := scalar(item)
			if !ok {
				return nil, false
			}
			list = append(list, text)
		}
		return list, true
	}
	return nil, false
}

// unknown says that key does not exist and which one may have been meant.
func unknown(key, from string, known map[string]reflect.Value) error {
	names := slices.Sorted(maps.Keys(known))
	for _, name := range names {
		if strings.HasPrefix(name, key+".") {
			return fmt.Errorf("%s: is a section, not a key; its keys are below it, such as %s (from %s)", key, name, from)
		}
	}
	return fmt.Errorf("%s: no such key; did you mean %s? (from %s)", oneLine(key), nearest(key, names), from)
}

func nearest(key string, known []string) string {
	best, bestDistance := "", int(^uint(0)>>1)
	for _, name := range known {
		if d := distance(key, name); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance is Levenshtein's: insertions, deletions and replacements between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// IsPath says whether key names a file.
func IsPath(key string) bool {
	field, ok := fields(new(Config))[key]
	return ok && field.Type() == reflect.TypeFor[Path]()
}
