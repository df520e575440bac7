package scan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"regexp/syntax"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Pattern is something that a deployment looks for besides what is built in. Either Literal or Regexp is set.
type Pattern struct {
	// Name is reported as custom.<name>: lower case letters, digits, _ and -, at most 64.
	Name string
	// Literal is found wherever it stands, without regard to case, accents and invisible characters. 3 to 256 bytes.
	Literal string
	// Regexp is an expression of Go's package regexp (linear in the text) over the original text. It must hold a literal of at least 3 bytes that every match has: the expression
	// runs only where that literal is found. At most 512 bytes.
	Regexp string
	// Threat is what a text that has it is at least: Low, Medium, High or Critical.
	Threat Threat
}

// The bounds of custom patterns. Each literal makes the one pass over every text a little heavier.
const (
	maxPatterns     = 256
	maxPatternFile  = 256 << 10
	minLiteralBytes = 3
	maxLiteralBytes = 256
	maxRegexpBytes  = 512
	maxNameBytes    = 64
	// regexpReach is how far around its literal a match is looked for.
	regexpReach = 1024
	// maxRegexpRuns bounds the runs in one text: each costs some microseconds.
	maxRegexpRuns = 256
)

// PatternError says which line of a file of patterns is refused, and why.
type PatternError struct {
	Line   int
	Reason string
}

func (e *PatternError) Error() string { return fmt.Sprintf("patterns line %d: %s", e.Line, e.Reason) }

// ParsePatterns reads custom patterns from YAML:
//
//	patterns:
//	  - name: project_code
//	    literal: "Bluebird"      # or regexp: 'PRJ-\d{4}'
//	    threat: medium           # low, medium, high, critical
//
// A file that is not wholly right is refused with a *PatternError. The file is bounded to 256 KiB and 256 patterns.
func ParsePatterns(r io.Reader) ([]Pattern, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxPatternFile+1))
	if err != nil {
		return nil, fmt.Errorf("read patterns: %w", err)
	}
	if len(data) > maxPatternFile {
		return nil, &PatternError{Line: bytes.Count(data, []byte("\n")) + 1, Reason: fmt.Sprintf("the file is longer than %d bytes", maxPatternFile)}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, &PatternError{Line: yamlLine(err), Reason: "no YAML"}
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode || len(root.Content) != 2 || root.Content[0].Value != "patterns" || root.Content[1].Kind != yaml.SequenceNode {
		return nil, &PatternError{Line: root.Line, Reason: "want one key, patterns, with a list"}
	}
	list := root.Content[1].Content
	if len(list) > maxPatterns {
		return nil, &PatternError{Line: list[maxPatterns].Line, Reason: fmt.Sprintf("more than %d patterns", maxPatterns)}
	}
	var patterns []Pattern
	names := map[string]bool{}
	for _, node := range list {
		p, err := parsePattern(node)
		if err != nil {
			return nil, err
		}
		if _, err := compilePattern(p); err != nil {
			return nil, &PatternError{Line: node.Line, Reason: err.Error()}
		}
		if names[p.Name] {
			return nil, &PatternError{Line: node.Line, Reason: "a second pattern of this name"}
		}
		names[p.Name] = true
		patterns = append(patterns, p)
	}
	return patterns, nil
}

// yamlLine takes the line out of the YAML package's errors, which have it in their text only.
func yamlLine(err error) int {
	_, rest, ok := strings.Cut(err.Error(), "line ")
	line := 0
	if ok {
		if _, err := fmt.Sscanf(rest, "%d", &line); err == nil {
			return line
		}
	}
	return 1
}

func parsePattern(node *yaml.Node) (Pattern, error) {
	p := Pattern{}
	if node.Kind != yaml.MappingNode {
		return p, &PatternError{Line: node.Line, Reason: "want name, literal or regexp, and threat"}
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if value.Kind != yaml.ScalarNode || seen[key.Value] {
			return p, &PatternError{Line: key.Line, Reason: "a key that stands twice or has no plain value"}
		}
		seen[key.Value] = true
		switch key.Value {
		case "name":
			p.Name = value.Value
		case "literal":
			p.Literal = value.Value
		case "regexp":
			p.Regexp = value.Value
		case "threat":
			threat, ok := ParseThreat(value.Value)
			if !ok || threat == None {
				return p, &PatternError{Line: value.Line, Reason: "threat is none of low, medium, high, critical"}
			}
			p.Threat = threat
		default:
			return p, &PatternError{Line: key.Line, Reason: "unknown key; known are name, literal, regexp, threat"}
		}
	}
	return p, nil
}

// customPattern is a pattern that is ready to run.
type customPattern struct {
	name    string
	literal string // normalised, what the one pass looks for
	regexp  *regexp.Regexp
	threat  Threat
}

func compilePatterns(patterns []Pattern) ([]customPattern, error) {
	if len(patterns) > maxPatterns {
		return nil, fmt.Errorf("%d patterns; at most %d", len(patterns), maxPatterns)
	}
	var custom []customPattern
	for _, p := range patterns {
		c, err := compilePattern(p)
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", p.Name, err)
		}
		custom = append(custom, c)
	}
	return custom, nil
}

func compilePattern(p Pattern) (customPattern, error) {
	c := customPattern{name: "custom." + p.Name, threat: p.Threat}
	if p.Name == "" || len(p.Name) > maxNameBytes || strings.Trim(p.Name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		return c, fmt.Errorf("name must be 1 to %d of a-z, 0-9, _ and -", maxNameBytes)
	}
	if p.Threat == None || p.Threat > Critical {
		return c, errors.New("threat is missing")
	}
	literal := p.Literal
	switch {
	case (p.Literal == "") == (p.Regexp == ""):
		return c, errors.New("want either literal or regexp")
	case len(p.Regexp) > maxRegexpBytes || len(p.Literal) > maxLiteralBytes:
		return c, fmt.Errorf("longer than %d bytes (literal) or %d bytes (regexp)", maxLiteralBytes, maxRegexpBytes)
	case p.Regexp != "":
		var err error
		if c.regexp, err = regexp.Compile(p.Regexp); err != nil {
			var bad *syntax.Error
			if errors.As(err, &bad) {
				return c, fmt.Errorf("regexp: %s", bad.Code)
			}
			return c, errors.New("regexp cannot be compiled")
		}
		parsed, err := syntax.Parse(p.Regexp, syntax.Perl)
		if err != nil {
			return c, errors.New("regexp cannot be compiled")
		}
		literal = longestLiteral(parsed.Simplify())
	}
	if c.literal = normalWord(literal); len(c.literal) < minLiteralBytes {
		return c, fmt.Errorf("no literal of at least %d bytes that every match has", minLiteralBytes)
	}
	return c, nil
}

// longestLiteral returns the longest string that every match of an expression holds.
func longestLiteral(e *syntax.Regexp) string {
	switch e.Op {
	case syntax.OpLiteral:
		return string(e.Rune)
	case syntax.OpCapture, syntax.OpPlus:
		return longestLiteral(e.Sub[0])
	case syntax.OpRepeat:
		if e.Min > 0 {
			return longestLiteral(e.Sub[0])
		}
	case syntax.OpConcat:
		best := ""
		for _, sub := range e.Sub {
			if l := longestLiteral(sub); len(l) > len(best) {
				best = l
			}
		}
		return best
	}
	return ""
}

// find looks for the pattern where its literal was found.
func (c *customPattern) find(s *Scratch, text []byte, at literalHit, length int) Threat {
	from, to := s.original(at.end-uint32(length), at.end)
	if c.regexp != nil {
		if s.regexps++; s.regexps > maxRegexpRuns {
			return Low
		}
		// Every match near the literal must hold it: only the first that reaches it counts.
		begin := max(0, from-regexpReach)
		near := text[begin:min(len(text), to+regexpReach)]
		found := false
		for _, m := range c.regexp.FindAllIndex(near, 64) {
			if begin+m[0] <= from && begin+m[1] >= to || m[1] > m[0] && begin+m[0] < to && begin+m[1] > from {
				from, to, found = begin+m[0], begin+m[1], true
				break
			}
		}
		if !found {
			return Low
		}
	}
	if len(s.findings) < maxFindings {
		s.findings = append(s.findings, Finding{Name: c.name, Start: from, End: to})
	}
	return c.threat
}
