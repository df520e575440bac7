package rules

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// refused parses a file that is wrong and returns what is said, a line for each mistake.
func refused(t *testing.T, text string) string {
	t.Helper()
	set, err := Parse("rules.yaml", []byte(text))
	if err == nil || set != nil {
		t.Fatalf("accepted: %.200s", text)
	}
	var mistakes Mistakes
	if !errors.As(err, &mistakes) {
		t.Fatalf("%T", err)
	}
	return err.Error()
}

// What an attacker or an accident makes of a file is refused, quickly and with a short text.
func TestHostileFiles(t *testing.T) {
	f := func(name, text, want string) {
		t.Helper()
		start := time.Now()
		got := refused(t, text)
		if !strings.Contains(got, want) || len(got) > 20_000 {
			t.Errorf("%s: %.300q; want %q", name, got, want)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
	rule := func(more string) string {
		return "version: 1\nrules:\n  - {id: a, title: T, severity: low" + more + "}\n"
	}
	f("nothing", "", "empty")
	f("comment", "# nothing", "empty")
	f("binary", "\x00\x01\xff", "UTF-8")
	f("huge", "# "+strings.Repeat("a", MaxFileBytes), "bytes, at most")
	f("deep flow", "version: 1\nrules: "+strings.Repeat("[", 50_000), "YAML")
	f("deep blocks", "version: 1\nrules:\n"+strings.Repeat("- ", 50_000), "YAML")
	f("deep, closed", "version: 1\nrules: "+strings.Repeat("[", 5000)+strings.Repeat("]", 5000), "keys and values expected")
	bomb := "version: 1\nlists:\n  a: &a [x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("  %c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat("*"+string(c-1)+", ", 9), ", "))
	}
	f("billion laughs", bomb, "rules.yaml:3: anchors and aliases")
	f("alias to itself", "version: 1\nlists: &a\n  x: *a\n", "anchors and aliases")
	f("merge key", "version: 1\nlists: {<<: {a: [b]}}\n", "a name expected as key")
	f("tag", "version: 1\nlists: {a: !!binary aGk=}\n", "tags")
	f("key that is a list", "version: 1\n? [a, b]\n: c\n", "a name expected as key")
	f("two documents", "version: 1\n---\nversion: 1\n", "second document")
	f("version", "version: 2\n", "rules.yaml:1: version: 1 expected")
	f("no version", "rules: []\n", "version: 1 is missing")
	f("a list as file", "- a\n", "keys and values expected")
	f("many rules", "version: 1\nrules:\n"+strings.Repeat("  - {id: a}\n", MaxRules+1), "1001 rules, at most 1000")
	f("many lists", "version: 1\nlists:\n"+manyLists(maxLists+1), "101 lists")
	f("many globs", "version: 1\nlists:\n  a: ["+strings.TrimSuffix(strings.Repeat("x*, ", maxGlobs+1), ", ")+"]\n", "more than 500 entries with *")
	f("long entry", "version: 1\nlists:\n  a: ["+strings.Repeat("x", 300)+"]\n", "300 bytes, at most 256")
	f("long condition", rule(`, on: "*", event: '`+strings.Repeat("true && ", 1000)+`true'`), "bytes, at most 4096")
	f("deep condition", rule(`, on: "*", event: '`+strings.Repeat("(", 1500)+"true"+strings.Repeat(")", 1500)+`'`), "recursion")
	f("many nodes", rule(`, on: "*", event: 'rows in [`+strings.TrimSuffix(strings.Repeat("1,", 1500), ",")+`]'`), "a: event: column")
	f("file without a folder", "version: 1\nlists: {a: {file: /etc/passwd}}\n", "no folder")
	f("timezone", "version: 1\ntimezone: ../../etc/passwd\n", "timezone")
	f("title that moves the cursor", "version: 1\nrules:\n  - {id: a, title: \"a\\u001b[2J\", severity: low, on: \"*\", event: has_user}\n", "a line of text expected")
	f("key that moves the cursor", "version: 1\n\"\\e[2J\": 1\n", `"`+"\uFFFD"+`[2J" is not known`)

	lines := strings.Count(refused(t, "version: 1\nrules:\n"+strings.Repeat("  - {id: A}\n", 500)), "\n")
	if lines != maxMistakes {
		t.Errorf("%d lines of mistakes", lines)
	}
}

func manyLists(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "  l%d: []\n", i)
	}
	return text.String()
}

// costly is a condition that is allowed, since most events have few attributes.
const costly = `findings.all(f, attributes.all(k, k != f))`

func manyAttributes(t testing.TB) *events.Event {
	var text strings.Builder
	text.WriteString(`"attributes":{`)
	for i := range 500 {
		fmt.Fprintf(&text, `"key-%d":"",`, i)
	}
	return parseEvent(t, strings.TrimSuffix(text.String(), ",")+"}")
}

func manyFindings() []scan.Finding {
	var names []string
	for i := range maxFindings {
		names = append(names, fmt.Sprintf("pii.%d", i))
	}
	return findingsOf(names...)
}

// What would cost too much is refused when that is sure, and cut off when it depends on the event.
func TestCostlyConditions(t *testing.T) {
	f := func(condition, want string) {
		t.Helper()
		if got := refused(t, "version: 1\nbuiltin: false\n"+eventRule(condition)); !strings.Contains(got, want) {
			t.Errorf("%s: %s; want %q", condition, got, want)
		}
	}
	f(`attributes.exists(a, attributes.exists(b, findings.exists(c, a == b && b == c)))`, "nest")
	f(`attributes.exists(a, attributes.exists(b, attributes[a].contains(attributes[b])))`, "steps for one event")
	f(`attributes.exists(a, attributes.exists(b, attributes[a].glob(attributes[b])))`, "steps for one event")
	f(`tool.matches("(((a{30}){30}){30})")`, "event: column")
	f(`tool.matches("(")`, "event: column")
	f(`[1,2,3].map(x, x * 2).size() > 1`, "map")
	f(`attributes.filter(k, k != "").size() > 1`, "filter")
	f(`timestamp("2020-01-01T00:00:00Z").getHours("Europe/Berlin") > 1`, "timestamp")

	set := mustParse(t, eventRule(costly))
	m := set.Matcher()
	if got := m.Match(nil, parseEvent(t, `"attributes":{"a":"b"}`), findingsOf("pii.email"), scan.Low); len(got) != 1 {
		t.Error("a small event was cut off")
	}
	start := time.Now()
	if got := m.Match(nil, manyAttributes(t), manyFindings(), scan.Low); len(got) != 0 {
		t.Error("a large event was not cut off")
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("cut off after %v", took)
	}
	if broken, cut := set.Troubles(0); broken != 0 || cut != 1 {
		t.Errorf("%d times not to be told, %d times cut off; want 0 and 1", broken, cut)
	}
}

// What a condition asks for in every round of a loop is made once for each event, and not again for the next: once it was made each time, uncounted.
func TestAttributesAreMadeOnce(t *testing.T) {
	set := mustParse(t, eventRule(`findings.exists(f, attributes.size() == 500 && "key-499" in attributes && f == "pii.63")`))
	m, ev, findings := set.Matcher(), manyAttributes(t), manyFindings()
	once := testing.AllocsPerRun(5, func() { m.Match(nil, ev, findings[:1], scan.Low) })
	if often := testing.AllocsPerRun(5, func() { m.Match(nil, ev, findings, scan.Low) }); often > once+50*maxFindings {
		t.Errorf("%v allocations for one finding, %v for %d", once, often, maxFindings)
	}
	if got := m.Match(nil, ev, findings, scan.Low); len(got) != 1 {
		t.Error("it does not hold")
	}
	if got := m.Match(nil, parseEvent(t, `"attributes":{"key-499":""}`), findings, scan.Low); len(got) != 0 {
		t.Error("the attributes of the event before are seen")
	}
}

// A pipe would hang, a device never end.
func TestFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, "/dev/zero", filepath.Join(dir, "missing.yaml")} {
		if _, err := Load(path); err == nil {
			t.Errorf("%s was loaded", path)
		}
	}
	path := filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(path, []byte("version: 1\nlists:\n  zero: {file: /dev/zero}\n  large: {file: large.txt}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "large.txt"), make([]byte, maxListFileBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "no regular file") || !strings.Contains(err.Error(), "at most") {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(string(builtIn))
	f.Add("version: 1\nlists: {a: [x*, 10.0.0.0/8]}\n" + eventRule(`tool in lists.a && attributes["b"] == "c"`))
	f.Add("version: 1\n" + windowRule(`calls > 3.0 * baseline.calls.mean`))
	f.Add("version: 1\nlists: &a\n  x: *a\n")
	ev := parseEvent(f, `"attributes":{"a":"b"},"rows":3,"tool":{"name":"crm.read"}`)
	f.Fuzz(func(t *testing.T, text string) {
		// Without the built-in rules, which take longer than all else.
		set, err := Parse("fuzz.yaml", []byte("builtin: false\n"+text))
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if len(line) > 2000 || strings.ContainsRune(line, '\x1b') {
					t.Fatalf("%q", line)
				}
			}
			return
		}
		m := set.Matcher()
		m.Match(nil, ev, findingsOf("a", "b"), scan.High)
		for _, span := range set.Spans() {
			for _, i := range m.Window(nil, span.Of, span.Over, &fakeView{}) {
				set.Observed(i, &fakeView{})
			}
		}
	})
}
