package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// value is a node of a file. Nodes are read as they stand: anchors and aliases, which blow a file up, and tags are refused.
type value struct {
	file string
	node *yaml.Node
}

// draft is a rule as it stands in a file.
type draft struct {
	id      string
	at      value
	values  map[string]value
	builtIn bool
}

// document is a file, or several laid over each other.
type document struct {
	withoutBuiltIn bool
	timezone       *value
	lists          []named
	drafts         []*draft
}

// named is a list of a file.
type named struct {
	name string
	at   value
}

// reader reads a file and notes what is wrong with it.
type reader struct {
	file     string
	mistakes *[]Mistake
}

func (r *reader) wrong(node *yaml.Node, rule, format string, args ...any) {
	line := 0
	if node != nil {
		line = node.Line
	}
	*r.mistakes = append(*r.mistakes, Mistake{File: r.file, Line: line, Rule: rule, Reason: fmt.Sprintf(format, args...)})
}

// yamlLine finds the line in what the YAML library says.
var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

// read takes a file apart. What can be read is returned even if something else is wrong, so that all mistakes are found at once.
func (r *reader) read(text []byte) *document {
	d := &document{}
	switch {
	case len(text) > MaxFileBytes:
		r.wrong(nil, "", "a file of %d bytes, at most %d expected", len(text), MaxFileBytes)
		return d
	case !utf8.Valid(text):
		r.wrong(nil, "", "not UTF-8")
		return d
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var root yaml.Node
	if err := decoder.Decode(&root); err != nil && !errors.Is(err, io.EOF) {
		r.syntax(err)
		return d
	}
	if root.Kind == 0 || len(root.Content) != 1 {
		r.wrong(nil, "", "the file is empty; version: 1 is expected at least")
		return d
	}
	var second yaml.Node
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			r.syntax(err)
		} else {
			r.wrong(&second, "", "a second document, one expected")
		}
		return d
	}
	r.document(d, root.Content[0])
	return d
}

func (r *reader) syntax(err error) {
	m := Mistake{File: r.file, Reason: strings.TrimPrefix(err.Error(), "yaml: ")}
	if found := yamlLine.FindStringSubmatch(err.Error()); found != nil {
		m.Line, _ = strconv.Atoi(found[1])
		m.Reason = strings.TrimPrefix(err.Error(), found[0])
	}
	// The library quotes the file at times.
	m.Reason = "not YAML: " + strings.Trim(quoted(m.Reason), `"`)
	*r.mistakes = append(*r.mistakes, m)
}

func (r *reader) document(d *document, top *yaml.Node) {
	versioned := false
	for key, node := range r.mapping(top, "") {
		switch key {
		case "version":
			versioned = true
			if node.Kind != yaml.ScalarNode || node.Value != "1" {
				r.wrong(node, "", "version: 1 expected")
			}
		case "builtin":
			wanted, ok := r.boolean(node, "", key)
			d.withoutBuiltIn = ok && !wanted
		case "timezone":
			d.timezone = &value{r.file, node}
		case "lists":
			for name, list := range r.mapping(node, "") {
				if !listName.MatchString(name) {
					r.wrong(list, "", "a list is named %s; small letters, digits and _ are expected, at most %d", quoted(name), maxIDBytes)
					continue
				}
				d.lists = append(d.lists, named{name, value{r.file, list}})
			}
			if len(d.lists) > maxLists {
				r.wrong(node, "", "%d lists, at most %d expected", len(d.lists), maxLists)
				d.lists = d.lists[:maxLists]
			}
		case "rules":
			r.rules(d, node)
		default:
			r.wrong(node, "", "%s is not known; version, builtin, timezone, lists or rules expected", quoted(key))
		}
	}
	if !versioned && top.Kind == yaml.MappingNode {
		r.wrong(top, "", "version: 1 is missing")
	}
}

// What names may look like. The id of a rule becomes part of a signal's name.
var (
	listName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	ruleID   = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$`)
)

// ruleKeys are the keys that a rule may have.
func ruleKeys() []string {
	return []string{"id", "title", "severity", "expected", "on", "event", "window", "suppress_for", "enabled"}
}

func (r *reader) rules(d *document, list *yaml.Node) {
	if list.Kind != yaml.SequenceNode {
		if list.Tag != "!!null" {
			r.wrong(list, "", "rules: a list expected")
		}
		return
	}
	if len(list.Content) > MaxRules {
		r.wrong(list, "", "%d rules, at most %d expected", len(list.Content), MaxRules)
		return
	}
	known := map[string]int{}
	for _, node := range list.Content {
		rule := &draft{at: value{r.file, node}, values: map[string]value{}}
		id := "" // for what is said before the id is known
		for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == "id" && ruleID.MatchString(node.Content[i+1].Value) {
				id = node.Content[i+1].Value
			}
		}
		for key, at := range r.mapping(node, id) {
			if !slices.Contains(ruleKeys(), key) {
				r.wrong(at, id, "%s is not known; id, title, severity, expected, on, event, window, suppress_for or enabled expected", quoted(key))
				continue
			}
			rule.values[key] = value{r.file, at}
		}
		at, ok := rule.values["id"]
		if !ok {
			if node.Kind == yaml.MappingNode {
				r.wrong(node, "", "a rule without id")
			}
			continue
		}
		if rule.id, ok = r.text(at.node, "", "id", maxIDBytes); !ok {
			continue
		}
		if !ruleID.MatchString(rule.id) {
			r.wrong(at.node, "", "id %s: words of small letters, digits and _, joined by dots, expected", quoted(rule.id))
			continue
		}
		if line := known[rule.id]; line > 0 {
			r.wrong(at.node, rule.id, "the id stands on line %d already", line)
			continue
		}
		known[rule.id] = at.node.Line
		d.drafts = append(d.drafts, rule)
	}
}

// mapping goes through the keys of a mapping and refuses what is none, other keys than words, and repeated ones.
func (r *reader) mapping(node *yaml.Node, rule string) func(yield func(string, *yaml.Node) bool) {
	return func(yield func(string, *yaml.Node) bool) {
		if !r.plain(node, rule) {
			return
		}
		if node.Kind != yaml.MappingNode {
			if node.Tag != "!!null" {
				r.wrong(node, rule, "keys and values expected")
			}
			return
		}
		known := make(map[string]struct{}, len(node.Content)/2)
		for i := 0; i+1 < len(node.Content); i += 2 {
			key, val := node.Content[i], node.Content[i+1]
			if !r.plain(key, rule) || !r.plain(val, rule) {
				continue
			}
			if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
				r.wrong(key, rule, "a name expected as key")
				continue
			}
			if _, twice := known[key.Value]; twice {
				r.wrong(key, rule, "%s stands there twice", quoted(key.Value))
				continue
			}
			known[key.Value] = struct{}{}
			if !yield(key.Value, val) {
				return
			}
		}
	}
}

// plain refuses aliases, anchors and tags.
func (r *reader) plain(node *yaml.Node, rule string) bool {
	switch {
	case node.Kind == yaml.AliasNode || node.Anchor != "":
		r.wrong(node, rule, "anchors and aliases (& and *) are not supported; quote a text that begins so")
	case node.Style&yaml.TaggedStyle != 0:
		r.wrong(node, rule, "tags (!) are not supported; quote a text that begins so")
	default:
		return true
	}
	return false
}

// text takes a scalar of at most some bytes.
func (r *reader) text(node *yaml.Node, rule, key string, most int) (string, bool) {
	switch {
	case !r.plain(node, rule):
	case node.Kind != yaml.ScalarNode || node.Tag == "!!null":
		r.wrong(node, rule, "%s: a text expected", key)
	case len(node.Value) > most:
		r.wrong(node, rule, "%s: %d bytes, at most %d expected", key, len(node.Value), most)
	default:
		return node.Value, true
	}
	return "", false
}

func (r *reader) boolean(node *yaml.Node, rule, key string) (b, ok bool) {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!bool" {
		return strings.EqualFold(node.Value, "true"), true
	}
	r.wrong(node, rule, "%s: true or false expected", key)
	return false, false
}

// texts takes a list of texts, or one text.
func (r *reader) texts(node *yaml.Node, rule, key string, most, mostBytes int) ([]string, bool) {
	if node.Kind == yaml.ScalarNode {
		text, ok := r.text(node, rule, key, mostBytes)
		return []string{text}, ok
	}
	if !r.plain(node, rule) {
		return nil, false
	}
	if node.Kind != yaml.SequenceNode {
		r.wrong(node, rule, "%s: a list of texts expected", key)
		return nil, false
	}
	if len(node.Content) > most {
		r.wrong(node, rule, "%s: %d entries, at most %d expected", key, len(node.Content), most)
		return nil, false
	}
	all := make([]string, 0, len(node.Content))
	good := true
	for _, entry := range node.Content {
		text, ok := r.text(entry, rule, key, mostBytes)
		good = good && ok
		all = append(all, text)
	}
	return all, good
}
