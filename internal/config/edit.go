package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Edit returns the YAML of file with the given keys set, and everything else, comments included, as it was. A
// file that does not exist counts as empty. Keys and values are not checked: Load does that.
func Edit(file string, values map[string]string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("read configuration %s: %s", file, strings.Join(strings.Fields(err.Error()), " "))
	}
	if len(document.Content) == 0 {
		document = yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode}}}
	}
	var c Config
	known := fields(&c)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		value := &yaml.Node{Kind: yaml.ScalarNode}
		value.SetString(values[key])
		if field, ok := known[key]; ok {
			value = valueNode(field, values[key])
		}
		if err := setNode(document.Content[0], strings.Split(key, "."), value); err != nil {
			return nil, fmt.Errorf("set %s in %s: %w", key, file, err)
		}
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(&document); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return out.Bytes(), nil
}

// valueNode writes numbers and truth values without quotes and lists as lists.
func valueNode(field reflect.Value, text string) *yaml.Node {
	switch field.Interface().(type) {
	case []string:
		list, _ := texts(text)
		node := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, item := range list {
			element := &yaml.Node{}
			element.SetString(item)
			node.Content = append(node.Content, element)
		}
		return node
	case int, float64, bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: text}
	}
	node := &yaml.Node{}
	node.SetString(text)
	return node
}

// setNode puts value at path below mapping.
func setNode(mapping *yaml.Node, path []string, value *yaml.Node) error {
	if mapping.Kind != yaml.MappingNode {
		return errors.New("the place above it is not a section")
	}
	for i := 0; i < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value != path[0] {
			continue
		}
		if len(path) > 1 {
			section := mapping.Content[i+1]
			if section.Kind == yaml.ScalarNode && section.Tag == "!!null" {
				*section = yaml.Node{Kind: yaml.MappingNode}
			}
			return setNode(section, path[1:], value)
		}
		value.LineComment = mapping.Content[i+1].LineComment
		mapping.Content[i+1] = value
		return nil
	}
	name := &yaml.Node{}
	name.SetString(path[0])
	if len(path) == 1 {
		mapping.Content = append(mapping.Content, name, value)
		return nil
	}
	section := &yaml.Node{Kind: yaml.MappingNode}
	mapping.Content = append(mapping.Content, name, section)
	return setNode(section, path[1:], value)
}

// KeysIn returns the keys that file sets; none if it does not exist.
func KeysIn(file string) ([]string, error) {
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	l, err := fileLayer(Sources{File: file}, nil)
	if err != nil {
		return nil, err
	}
	return l.values.Keys(), nil
}
