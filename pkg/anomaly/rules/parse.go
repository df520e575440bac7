package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

func parse(name string, text []byte, read readFile) (*Set, error) {
	var mistakes []Mistake
	own := (&reader{file: name, mistakes: &mistakes}).read(text)
	all := own
	if !own.withoutBuiltIn {
		all = (&reader{file: builtInName, mistakes: &mistakes}).read(builtIn)
		for _, d := range all.drafts {
			d.builtIn = true
		}
		overlay(all, own)
	}
	b := &builder{mistakes: &mistakes, read: read, set: &Set{location: time.UTC, listVariables: map[string]*List{}}}
	b.build(all, name)
	if len(mistakes) > 0 {
		return nil, inOrder(mistakes, name)
	}
	return b.set, nil
}

// inOrder sorts mistakes by lines, those of the file itself before others, and bounds them.
func inOrder(mistakes []Mistake, name string) Mistakes {
	slices.SortStableFunc(mistakes, func(a, b Mistake) int {
		if a.File != b.File {
			return cmp.Compare(order(a.File, name), order(b.File, name))
		}
		return cmp.Compare(a.Line, b.Line)
	})
	if more := len(mistakes) - maxMistakes; more > 0 {
		mistakes = append(mistakes[:maxMistakes:maxMistakes], Mistake{File: name, Reason: fmt.Sprintf("and %d more", more)})
	}
	return mistakes
}

func order(file, name string) int {
	if file == name {
		return 0
	}
	return 1
}

// builder makes a set of a document.
type builder struct {
	mistakes *[]Mistake
	read     readFile
	set      *Set
}

func (b *builder) reader(v value) *reader { return &reader{file: v.file, mistakes: b.mistakes} }

func (b *builder) build(d *document, name string) {
	if d.timezone != nil {
		b.timezone(*d.timezone)
	}
	for _, list := range d.lists {
		b.list(list)
	}
	if len(d.drafts) > MaxRules {
		*b.mistakes = append(*b.mistakes, Mistake{File: name, Reason: fmt.Sprintf("%d rules with the built-in ones, at most %d expected", len(d.drafts), MaxRules)})
		return
	}
	compiler, err := newCompiler(b.set.listVariables)
	if err != nil {
		*b.mistakes = append(*b.mistakes, Mistake{File: name, Reason: err.Error()})
		return
	}
	for _, draft := range d.drafts {
		b.rule(draft, compiler)
	}
	b.set.index()
}

func (b *builder) timezone(v value) {
	r := b.reader(v)
	name, ok := r.text(v.node, "", "timezone", maxIDBytes)
	if !ok {
		return
	}
	location, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		r.wrong(v.node, "", "timezone %s is not known; a name such as Europe/Berlin expected", quoted(name))
		return
	}
	b.set.location = location
}

// list takes a list of texts, or {file: name}.
func (b *builder) list(n named) {
	r := b.reader(n.at)
	list := &List{}
	b.set.listVariables["lists."+n.name] = list // also if it is wrong, so that conditions are not wrong because of it
	if n.at.node.Kind == yaml.MappingNode {
		b.listFile(r, n, list)
		return
	}
	if n.at.node.Kind == yaml.ScalarNode && n.at.node.Tag == "!!null" {
		return // an empty list
	}
	if n.at.node.Kind != yaml.SequenceNode {
		r.wrong(n.at.node, "", "list %s: a list of texts, or file: NAME, expected", n.name)
		return
	}
	for _, entry := range n.at.node.Content {
		text, ok := r.text(entry, "", "list "+n.name, maxEntryBytes)
		if !ok {
			continue
		}
		if err := list.add(text); err != nil {
			r.wrong(entry, "", "list %s: %v", n.name, err)
			return
		}
	}
}

func (b *builder) listFile(r *reader, n named, list *List) {
	file := ""
	for key, node := range r.mapping(n.at.node, "") {
		if key != "file" {
			r.wrong(node, "", "list %s: %s is not known; file expected", n.name, quoted(key))
			continue
		}
		file, _ = r.text(node, "", "file", 4096)
	}
	if file == "" {
		r.wrong(n.at.node, "", "list %s: the file has no name", n.name)
		return
	}
	text, err := b.read(file)
	if err != nil {
		r.wrong(n.at.node, "", "list %s: %v", n.name, err)
		return
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := list.add(line); err != nil {
			*b.mistakes = append(*b.mistakes, Mistake{File: file, Line: number, Reason: fmt.Sprintf("list %s: %v", n.name, err)})
			return
		}
	}
}

func (b *builder) rule(d *draft, c *compiler) {
	rule := Rule{ID: d.id, SuppressFor: defaultSuppress, Enabled: true, BuiltIn: d.builtIn}
	b.words(d, &rule)
	if v, ok := d.values["suppress_for"]; ok {
		rule.SuppressFor = b.duration(d.id, "suppress_for", v, 0, maxSuppress)
	}
	if v, ok := d.values["enabled"]; ok {
		rule.Enabled, _ = b.reader(v).boolean(v.node, d.id, "enabled")
	}
	event, onEvent := d.values["event"]
	window, onWindow := d.values["window"]
	on, typed := d.values["on"]
	r := b.reader(d.at)
	var compiled *condition
	switch {
	case onEvent == onWindow:
		r.wrong(d.at.node, d.id, "event or window expected, one of both")
	case onWindow:
		if typed {
			b.reader(on).wrong(on.node, d.id, "on belongs to conditions on events; a window counts all")
		}
		compiled = b.window(d.id, &rule, window, c)
	default:
		if !typed {
			r.wrong(d.at.node, d.id, "on is missing: the types of events that can matter, or \"*\"")
		} else {
			rule.On = b.types(d.id, on)
		}
		rule.Event, compiled = b.condition(d.id, "event", event, c, onEvents)
	}
	if rule.Expected == "" {
		rule.Expected = "not: " + strings.Join(strings.Fields(rule.condition()), " ")
	}
	b.set.rules = append(b.set.rules, rule)
	b.set.conditions = append(b.set.conditions, compiled)
}

// words takes title, severity and expected.
func (b *builder) words(d *draft, rule *Rule) {
	for _, key := range []string{"title", "severity", "expected"} {
		v, ok := d.values[key]
		if !ok {
			if key != "expected" {
				b.reader(d.at).wrong(d.at.node, d.id, "%s is missing", key)
			}
			continue
		}
		r := b.reader(v)
		text, ok := r.text(v.node, d.id, key, maxTextBytes)
		if !ok {
			continue
		}
		if key == "severity" {
			if err := rule.Severity.UnmarshalText([]byte(text)); err != nil {
				r.wrong(v.node, d.id, "severity %s: low, medium, high or critical expected", quoted(text))
			}
			continue
		}
		text = strings.TrimSpace(text)
		if text == "" || strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
			r.wrong(v.node, d.id, "%s: a line of text expected", key)
			continue
		}
		if key == "title" {
			rule.Title = text
		} else {
			rule.Expected = text
		}
	}
}

func (b *builder) duration(id, key string, v value, least, most time.Duration) time.Duration {
	r := b.reader(v)
	text, ok := r.text(v.node, id, key, maxIDBytes)
	if !ok {
		return least
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		r.wrong(v.node, id, "%s %s: %s to %s expected, such as 30m or 24h", key, quoted(text), least, most)
		return least
	}
	return d
}

func (b *builder) types(id string, v value) []string {
	r := b.reader(v)
	patterns, ok := r.texts(v.node, id, "on", maxTypes, 128)
	if !ok {
		return nil
	}
	if len(patterns) == 0 {
		r.wrong(v.node, id, "on: no type of events; \"*\" is all of them")
	}
	for _, p := range patterns {
		if p != "*" && !ruleID.MatchString(strings.TrimSuffix(p, ".*")) {
			r.wrong(v.node, id, "on %s: a type such as tool.call expected, one that ends in .*, or \"*\"", quoted(p))
		}
	}
	return patterns
}

func (b *builder) window(id string, rule *Rule, v value, c *compiler) (compiled *condition) {
	rule.Window = &Window{}
	keys := map[string]bool{}
	for key, node := range b.reader(v).mapping(v.node, id) {
		at := value{v.file, node}
		r := b.reader(at)
		keys[key] = true
		switch key {
		case "of":
			text, _ := r.text(node, id, key, maxIDBytes)
			rule.Window.Of = anomaly.EntityKind(text)
			if !slices.Contains(kinds, rule.Window.Of) {
				r.wrong(node, id, "of %s: subject, agent or tenant expected", quoted(text))
			}
		case "over":
			text, _ := r.text(node, id, key, maxIDBytes)
			over, err := time.ParseDuration(text)
			if err != nil || !slices.Contains(lengths, over) {
				r.wrong(node, id, "over %s: 1m, 1h or 24h expected", quoted(text))
			}
			rule.Window.Over = over
		case "when":
			rule.Window.When, compiled = b.condition(id, "when", at, c, onWindows)
		default:
			r.wrong(node, id, "%s is not known; of, over and when expected", quoted(key))
		}
	}
	if compiled != nil {
		for _, f := range compiled.features {
			if !f.CountedOver(rule.Window.Over) {
				b.reader(v).wrong(v.node, id, "%s is not counted over %s: different things are over 1m and 24h, new and known ones over 1m", f, rule.Window.Over)
			}
		}
	}
	for _, key := range []string{"of", "over", "when"} {
		if !keys[key] {
			b.reader(v).wrong(v.node, id, "window: %s is missing", key)
		}
	}
	return compiled
}

// What windows can be of, and how long.
var (
	// Of producers only gaps and silence are watched, without rules: their sums are those of whom they send for.
	kinds   = []anomaly.EntityKind{anomaly.EntitySubject, anomaly.EntityAgent, anomaly.EntityTenant}
	lengths = []time.Duration{time.Minute, time.Hour, 24 * time.Hour}
)

// condition compiles a condition, and says on which line of the file it is wrong.
func (b *builder) condition(id, key string, v value, c *compiler, on domain) (string, *condition) {
	r := b.reader(v)
	text, ok := r.text(v.node, id, key, maxConditionBytes)
	if !ok {
		return "", nil
	}
	compiled, faults := c.compile(text, on)
	for _, f := range faults {
		line := v.node.Line
		// Only a literal block keeps the lines of the file.
		if v.node.Style&yaml.LiteralStyle != 0 {
			line += f.line
		} else if v.node.Style&yaml.FoldedStyle != 0 {
			line++
		}
		*b.mistakes = append(*b.mistakes, Mistake{File: v.file, Line: line, Rule: id, Reason: key + ": " + f.reason})
	}
	return text, compiled
}
