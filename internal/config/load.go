package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

// envPrefix begins the names of the variables that set keys.
const envPrefix = "AGENTAUDIT_"

// Sources are where values come from besides the defaults.
type Sources struct {
	File string   // YAML; empty: none
	Env  []string // as os.Environ returns them
	Set  []string // key=value, from --set
}

// Load puts the configuration together and validates it. Its errors are one line each.
func Load(from Sources) (Config, error) {
	c := DefaultConfig()
	known := fields(&c)
	for _, layer := range []func(Sources, map[string]reflect.Value) (*layer, error){fileLayer, envLayer, setLayer} {
		l, err := layer(from, known)
		if err != nil {
			return Config{}, err
		}
		if err := l.apply(known); err != nil {
			return Config{}, err
		}
	}
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// layer is one source's values.
type layer struct {
	values  *koanf.Koanf
	from    func(key string) string // names the source of a key, for errors
	folder  string                  // what relative paths are meant from; empty: the working directory
	secrets bool                    // whether secrets may stand in it
}

func fileLayer(from Sources, _ map[string]reflect.Value) (*layer, error) {
	l := &layer{values: koanf.New("."), from: func(string) string { return from.File }, folder: filepath.Dir(from.File)}
	if from.File == "" {
		return l, nil
	}
	if err := l.values.Load(file.Provider(from.File), yaml.Parser()); err != nil {
		return nil, fmt.Errorf("read configuration %s: %s", from.File, strings.Join(strings.Fields(err.Error()), " "))
	}
	return l, nil
}

// envLayer takes the variables that have two underscores in their names, which is how sections are parted,
// and those that set a key without a section. Others belong to somebody else: container platforms set
// AGENTAUDIT_INGEST_PORT for a service of that name. One that is a key but for its underscores is a mistake.
func envLayer(from Sources, known map[string]reflect.Value) (*layer, error) {
	l := &layer{values: koanf.New("."), from: envName, secrets: true}
	meant := make(map[string]string) // what a key is called when sections are parted by one underscore
	for key := range known {
		meant[strings.ReplaceAll(key, ".", "_")] = key
	}
	var mistaken error
	provider := env.Provider(".", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return from.Env },
		TransformFunc: func(name, value string) (string, any) {
			key := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, envPrefix), "__", "."))
			if _, ok := known[key]; !ok && !strings.Contains(key, ".") {
				if other, ok := meant[key]; ok && mistaken == nil {
					mistaken = fmt.Errorf("%s: write it as %s, with two underscores between sections", name, envName(other))
				}
				return "", nil
			}
			return key, value
		},
	})
	if err := l.values.Load(provider, nil); err != nil {
		return nil, err
	}
	return l, mistaken
}

func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "__"))
}

func setLayer(from Sources, _ map[string]reflect.Value) (*layer, error) {
	l := &layer{values: koanf.New("."), from: func(string) string { return "--set" }}
	pairs := make(map[string]any)
	for _, pair := range from.Set {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--set %s: write it as key=value", oneLine(key))
		}
		pairs[key] = value
	}
	return l, l.values.Load(confmap.Provider(pairs, "."), nil)
}

// apply writes the layer's values into the fields.
func (l *layer) apply(known map[string]reflect.Value) error {
	values := l.values.All()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		field, ok := known[key]
		if !ok {
			if values[key] == nil && isSection(key, known) {
				continue // a heading whose keys are all commented out
			}
			return unknown(key, l.from(key), known)
		}
		if isSecret(field) && !l.secrets && values[key] != nil && values[key] != "" {
			return fmt.Errorf("%s: secrets are taken from a file (%s_file) or the environment (%s), not from %s", key, key, envName(key), l.from(key))
		}
		if err := set(field, values[key]); err != nil {
			shown := ""
			if values[key] != nil {
				shown = fmt.Sprint(values[key])
			}
			if isSecret(field) {
				shown = withheld
			}
			return &Error{Key: key, Value: shown, Want: err.Error(), From: l.from(key)}
		}
		if path, ok := field.Interface().(interface{ from(string) Path }); ok && l.folder != "" {
			field.Set(reflect.ValueOf(path.from(l.folder)))
		}
		if source, ok := field.Interface().(KeySource); ok && l.folder != "" {
			field.Set(reflect.ValueOf(source.from(l.folder)))
		}
	}
	return nil
}

func isSection(key string, known map[string]reflect.Value) bool {
	for name := range known {
		if strings.HasPrefix(name, key+".") {
			return true
		}
	}
	return false
}

// InEnvironment says whether the environment sets any key.
func InEnvironment(environ []string) bool {
	l, err := envLayer(Sources{Env: environ}, fields(new(Config)))
	return err == nil && len(l.values.Keys()) > 0
}
