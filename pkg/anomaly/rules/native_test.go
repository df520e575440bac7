package rules

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/agentaudit/agentaudit/pkg/scan"
)

// byCEL judges without the native part.
func byCEL(c *condition, f *frame) verdict {
	slow := *c
	slow.decides = false
	return slow.judge(f)
}

// agree fails where the native part decides otherwise than CEL.
func agree(t rapid.TB, c *condition, f *frame, condition string) {
	native, cel := c.native.eval(f), byCEL(c, f)
	if native == yes && cel != holds || native == no && cel != fails {
		t.Fatalf("%s: native %d, CEL %d", condition, native, cel)
	}
	if got := c.judge(f); got != cel {
		t.Fatalf("%s: %d, CEL %d", condition, got, cel)
	}
}

var (
	drawWord    = rapid.SampledFrom([]string{"", "a", "b", "ab", "crm.read", "crm.*", "10.1.2.3", "u-1001", "approved", "é"})
	textNames   = []string{"event.type", "action", "outcome", "tenant", "agent.id", "tool", "model", "resource.type", "approval.decision", "source.ip", `attributes["a"]`, "attributes.b"}
	numberNames = []string{"rows", "tokens", "input_tokens", "threat", "time.hour", "time.weekday", "cost_usd", "size(findings)", "data_subjects", "HIGH", "attributes.size()"}
	literals    = []string{"0", "1", "3", "21", "-1", "0.5", "3.0", "1e6", "9007199254740991", "9223372036854775807"}
)

// drawCondition writes a condition on an event. Not all of them pass CEL's check of types.
func drawCondition(t *rapid.T, depth int) string {
	text := rapid.SampledFrom(textNames)
	number := rapid.SampledFrom(numberNames)
	word := func() string { return fmt.Sprintf("%q", drawWord.Draw(t, "word")) }
	if depth > 0 {
		switch rapid.IntRange(0, 4).Draw(t, "join") {
		case 0:
			return "(" + drawCondition(t, depth-1) + " && " + drawCondition(t, depth-1) + ")"
		case 1:
			return "(" + drawCondition(t, depth-1) + " || " + drawCondition(t, depth-1) + ")"
		case 2:
			return "!(" + drawCondition(t, depth-1) + ")"
		case 3:
			return "findings.exists(f, " + strings.ReplaceAll(drawCondition(t, depth-1), "tool", "f") + ")"
		}
	}
	compare := rapid.SampledFrom([]string{"==", "!=", "<", "<=", ">", ">="})
	switch rapid.IntRange(0, 8).Draw(t, "kind") {
	case 0:
		return text.Draw(t, "text") + rapid.SampledFrom([]string{" == ", " != "}).Draw(t, "equal") + word()
	case 1:
		return word() + " == " + text.Draw(t, "text")
	case 2:
		return text.Draw(t, "text") + "." + rapid.SampledFrom([]string{"startsWith", "endsWith", "contains", "glob", "matches"}).Draw(t, "function") + "(" + word() + ")"
	case 3:
		return text.Draw(t, "text") + " in [" + word() + ", " + word() + "]"
	case 4:
		return text.Draw(t, "text") + " in lists.some"
	case 5:
		return rapid.SampledFrom([]string{"has_user", "approval.given", "approval.by_self", "true", "has(attributes.a)", `"b" in attributes`, `!("a" in attributes)`}).Draw(t, "flag")
	case 6:
		return rapid.SampledFrom(literals).Draw(t, "literal") + " " + compare.Draw(t, "compare") + " " + number.Draw(t, "number")
	case 7:
		return number.Draw(t, "number") + " " + compare.Draw(t, "compare") + " " + number.Draw(t, "number")
	}
	return number.Draw(t, "number") + " " + compare.Draw(t, "compare") + " " + rapid.SampledFrom(literals).Draw(t, "literal")
}

// What is decided without CEL is decided as CEL would.
func TestNativeAgreesWithCEL(t *testing.T) {
	list := &List{}
	for _, entry := range []string{"a", "crm.*", "10.0.0.0/8", "?b"} {
		if err := list.add(entry); err != nil {
			t.Fatal(err)
		}
	}
	set := mustParse(t, "lists: {some: [a]}\n")
	set.listVariables["lists.some"] = list
	c, err := newCompiler(set.listVariables)
	if err != nil {
		t.Fatal(err)
	}
	decided := 0
	rapid.Check(t, func(rt *rapid.T) {
		text := drawCondition(rt, 3)
		compiled, faults := c.compile(text, onEvents)
		if faults != nil {
			rt.Skip(text)
		}
		if compiled.decides {
			decided++
		}
		word := func(name string) string { return fmt.Sprintf("%q", drawWord.Draw(rt, name)) }
		members := []string{
			`"tool":{"name":` + word("tool") + `},"agent":{"id":` + word("agent") + `},"source":{"ip":` + word("ip") + `}`,
			`"approval":{"decision":` + word("decision") + `,"approver":` + word("approver") + `}`,
			`"resource":{"type":` + word("resource") + `}`,
		}
		if rapid.Bool().Draw(rt, "attributes") {
			members = append(members, `"attributes":{"a":`+word("a")+`,"x\"":"y","b":"\u0061`+drawWord.Draw(rt, "b")+`"}`)
		}
		if rapid.Bool().Draw(rt, "amounts") {
			members = append(members, fmt.Sprintf(`"rows":%d,"usage":{"input_tokens":%d,"output_tokens":3,"cost_usd":%g}`,
				rapid.SampledFrom([]uint64{0, 1, 3, 21, 1e6, 9007199254740991}).Draw(rt, "rows"), rapid.SampledFrom([]uint64{0, 9007199254740991}).Draw(rt, "tokens"),
				rapid.SampledFrom([]float64{0, 0.5, 3}).Draw(rt, "cost")))
		}
		names := rapid.SliceOfN(drawWord, 0, 3).Draw(rt, "findings")
		f := &frame{set: set, scratch: make([]byte, 0, 100)}
		f.setEvent(parseEvent(t, strings.Join(members, ",")), findingsOf(names...), scan.Threat(rapid.IntRange(0, 4).Draw(rt, "threat")))
		agree(rt, compiled, f, text)
	})
	if decided == 0 {
		t.Error("no condition was decided without CEL")
	}
}

// The same for windows, whose values may be anything that arithmetic gives.
func TestNativeWindowsAgreeWithCEL(t *testing.T) {
	set := mustParse(t, "")
	c, err := newCompiler(set.listVariables)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"calls", "errors", "cost_usd", "baseline.calls.mean", "baseline.calls.std", "new_tools"}
	var draw func(t *rapid.T, depth int) string
	draw = func(t *rapid.T, depth int) string {
		if depth == 0 || rapid.IntRange(0, 2).Draw(t, "leaf") == 0 {
			return rapid.SampledFrom(append(names, "0.0", "3.0", "10", "1e308")).Draw(t, "name")
		}
		if rapid.IntRange(0, 5).Draw(t, "negate") == 0 {
			return "-(" + draw(t, depth-1) + ")"
		}
		return "(" + draw(t, depth-1) + rapid.SampledFrom([]string{" + ", " - ", " * ", " / "}).Draw(t, "operator") + draw(t, depth-1) + ")"
	}
	rapid.Check(t, func(rt *rapid.T) {
		text := draw(rt, 3) + rapid.SampledFrom([]string{" < ", " <= ", " > ", " >= ", " == ", " != "}).Draw(rt, "compare") + draw(rt, 2)
		if rapid.Bool().Draw(rt, "negated") {
			text = "!(" + text + ") || calls > 100.0"
		}
		compiled, faults := c.compile(text, onWindows)
		if faults != nil {
			rt.Skip(text)
		}
		values := map[string]float64{}
		for _, name := range names {
			values[name] = rapid.SampledFrom([]float64{0, 1, 3, 10, 0.1, 1e308, math.Inf(1), math.NaN()}).Draw(rt, name)
		}
		f := &frame{set: set}
		f.setWindow(view(t, values))
		agree(rt, compiled, f, text)
	})
}

// What should be fast is decided without CEL: otherwise a change here, or in CEL's parser, would go unnoticed.
func TestWhatNeedsNoCEL(t *testing.T) {
	c, err := newCompiler(map[string]*List{"lists.some": {}})
	if err != nil {
		t.Fatal(err)
	}
	var whole func(n *native) bool
	whole = func(n *native) bool {
		for i := range n.sides {
			if !whole(&n.sides[i]) {
				return false
			}
		}
		return n.op != opMaybe
	}
	f := func(on domain, text string, want bool) {
		t.Helper()
		compiled, faults := c.compile(text, on)
		if faults != nil {
			t.Fatal(faults)
		}
		if got := whole(&compiled.native); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	f(onEvents, `outcome == "denied" && !(tool in ["a", "b"]) && "x" != action`, true)
	f(onEvents, `threat >= HIGH && findings.exists(f, f.startsWith("secret.") && f != "secret.password")`, true)
	f(onEvents, `rows > 10 || 5 < tokens || cost_usd >= 3 || size(findings) > 2`, true)
	f(onEvents, `source.ip in lists.some || tool.glob("a*")`, true)
	f(onEvents, `time.weekday >= 6 && has_user && approval.by_self`, true)
	f(onWindows, `calls > baseline.calls.mean + 3.0 * baseline.calls.std`, true)
	f(onEvents, `"a" in attributes && attributes["a"] == "b" && attributes.b in lists.some && has(attributes.c)`, true)
	f(onEvents, `attributes[tool] == "b"`, false)
	f(onEvents, `findings.all(f, f == "b")`, false)
	f(onEvents, `rows + tokens > 5`, false) // whole numbers may overflow
	f(onEvents, `tool.matches("a+")`, false)
}
