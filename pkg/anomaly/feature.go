package anomaly

import (
	"fmt"
	"math"
	"strings"

	"github.com/agentaudit/agentaudit/pkg/events"
)

// rate is something that is summed up over a window of time.
type rate uint8

const (
	rateCalls rate = iota
	rateTokens
	rateCost
	rateErrors
	rateDenials
	rateWrites
	rateRows
	rateSends
	rateFailedLogins
	rateLimited
	rateGrants
	// The following are counted for rules only.
	rateEvents
	rateLogins
	rateInput
	rateOutput
	numRates
	numJudged = rateEvents
)

// window is how long sums run. They begin with the minute, hour or day of UTC.
type window uint8

const (
	perMinute window = iota
	perHour
	perDay
	numWindows
)

var windowNames = [numWindows]string{"a minute", "an hour", "a day"}

// value is what single requests have; of a minute, the largest counts.
type value uint8

const (
	valueTokens value = iota
	valueCost
	valueDuration
	valueRows
	numValues
)

// novelty is what may be seen for the first time.
type novelty uint8

const (
	newNetwork novelty = iota
	newTool
	newAgent
	newModel
	newResource
	newProtected // a tool with a type of resource that is protected
	numNovelties
)

// measure says how a quantity is looked at.
type measure struct {
	name, unit string
	// sparse counts go through Anscombe's transform, 2√(x+3/8), after which a Poisson count of any rate has a standard deviation of 1; others through
	// ln(1+x/scale), as amounts of work vary by factors.
	sparse bool
	scale  float64
	// least of what is worth anybody's attention in a minute, an hour, a day, whatever its probability.
	least [numWindows]uint64
}

var rates = [numRates]measure{
	rateCalls:        {name: "rate.calls", unit: "calls", scale: 1, least: [numWindows]uint64{30, 120, 400}},
	rateTokens:       {name: "rate.tokens", unit: "tokens", scale: 100, least: [numWindows]uint64{50_000, 200_000, 500_000}},
	rateCost:         {name: "rate.cost", unit: "USD", scale: 1000, least: [numWindows]uint64{1_000_000, 3_000_000, 10_000_000}},
	rateErrors:       {name: "rate.errors", unit: "errors", sparse: true, least: [numWindows]uint64{8, 12, 25}},
	rateDenials:      {name: "rate.denials", unit: "denials", sparse: true, least: [numWindows]uint64{4, 6, 8}},
	rateWrites:       {name: "rate.writes", unit: "writes", scale: 1, least: [numWindows]uint64{15, 40, 100}},
	rateRows:         {name: "rate.rows", unit: "rows", scale: 10, least: [numWindows]uint64{500, 1000, 2000}},
	rateSends:        {name: "rate.sends", unit: "messages sent out", scale: 1, least: [numWindows]uint64{10, 25, 60}},
	rateFailedLogins: {name: "rate.failed_logins", unit: "failed log-ins", sparse: true, least: [numWindows]uint64{5, 8, 12}},
	rateLimited:      {name: "rate.limited", unit: "refusals by rate limits", sparse: true, least: [numWindows]uint64{5, 10, 20}},
	rateGrants:       {name: "rate.grants", unit: "changes of permissions", sparse: true, least: [numWindows]uint64{3, 4, 5}},
	rateEvents:       {name: "rate.events", unit: "events", scale: 1},
	rateLogins:       {name: "rate.logins", unit: "log-ins", sparse: true},
	rateInput:        {name: "rate.input_tokens", unit: "tokens", scale: 100},
	rateOutput:       {name: "rate.output_tokens", unit: "tokens", scale: 100},
}

var values = [numValues]measure{
	valueTokens:   {name: "value.tokens", unit: "tokens a request", scale: 100, least: [numWindows]uint64{20_000}},
	valueCost:     {name: "value.cost", unit: "USD a request", scale: 1000, least: [numWindows]uint64{500_000}},
	valueDuration: {name: "value.duration", unit: "ms a request", scale: 100, least: [numWindows]uint64{60_000}},
	valueRows:     {name: "value.rows", unit: "rows a request", scale: 10, least: [numWindows]uint64{500}},
}

var novelties = [numNovelties]struct{ name, what string }{
	newNetwork: {"novel.network", "network"}, newTool: {"novel.tool", "tool"}, newAgent: {"novel.agent", "agent"},
	newModel: {"novel.model", "model"}, newResource: {"novel.resource", "type of resource"},
	newProtected: {"novel.protected", "way to protected data"},
}

// of is the quantity on the scale on which it is compared.
func (m *measure) of(x uint64) float64 {
	if m.sparse {
		return 2 * math.Sqrt(float64(x)+0.375)
	}
	return math.Log1p(float64(x) / m.scale)
}

// back is what lies at a point of that scale.
func (m *measure) back(y float64) float64 {
	if m.sparse {
		return max(y*y/4-0.375, 0)
	}
	return math.Expm1(max(y, 0)) * m.scale
}

// floor is the smallest spread that is believed on that scale: a Poisson count's own, and a factor of e^0.4 for amounts, which nobody keeps more evenly.
func (m *measure) floor() float64 {
	if m.sparse {
		return 1
	}
	return 0.4
}

// text writes an amount as people read it.
func (m *measure) text(x float64) string {
	if strings.HasPrefix(m.unit, "USD") {
		return fmt.Sprintf("%.2f %s", x/1e6, m.unit)
	}
	if x > 0 && x < 10 && x != math.Trunc(x) {
		return fmt.Sprintf("%.1f %s", x, m.unit)
	}
	return fmt.Sprintf("%.0f %s", x, m.unit)
}

// span writes the numbers between which something lies.
func (m *measure) span(low, high float64) string {
	number := func(x float64) string { text, _, _ := strings.Cut(m.text(x), " "); return text }
	return number(low) + " to " + number(high)
}

// sendingOut are the words by which tools and actions say that something leaves: the last of the order in which data is stolen.
var sendingOut = []string{"send", "mail", "upload", "export", "publish", "post", "share", "forward", "transfer", "webhook"}

// writing are the words by which actions and tools say that they change something.
var writing = []string{"write", "create", "update", "delete", "insert", "set", "remove", "schedule", "deploy", "refund", "grant", "send", "merge", "exec"}

// traits of a type, action and tool, looked up once for each that occurs.
type traits struct {
	call, login, limited, grant, write, send bool
}

func traitsOf(kind, action, tool string) traits {
	var t traits
	t.call = within(kind, "tool.call") || within(kind, "llm.call")
	t.login = within(kind, "auth.login")
	t.limited = within(kind, "rate_limit.exceeded")
	t.grant = within(kind, "permission.change")
	isData := within(kind, "tool.call") || within(kind, "data")
	text := action + " " + tool
	t.send = isData && hasWord(text, sendingOut)
	t.write = t.grant || within(kind, "config.change") || isData && hasWord(text, writing)
	return t
}

// within tells whether a dotted type is the given one or stands below it.
func within(kind, parent string) bool {
	return strings.HasPrefix(kind, parent) && (len(kind) == len(parent) || kind[len(parent)] == '.')
}

// hasWord looks for words that stand by themselves or between underscores, dashes, dots and the like.
func hasWord(text string, words []string) bool {
	for word := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return r < 'a' || r > 'z' }) {
		for _, w := range words {
			if word == w {
				return true
			}
		}
	}
	return false
}

// measured takes the amounts of an event apart.
func measured(o *Observation, t traits) (sums [numRates]uint64, most [numValues]uint64) {
	tokens := saturated(o.InputTokens, o.OutputTokens)
	if t.call {
		sums[rateCalls] = 1
	}
	if t.login {
		sums[rateLogins] = 1
	}
	sums[rateEvents], sums[rateInput], sums[rateOutput] = 1, o.InputTokens, o.OutputTokens
	sums[rateTokens], sums[rateCost], sums[rateRows] = tokens, o.CostMicroUSD, o.Rows
	switch o.Outcome {
	case events.Failure:
		sums[rateErrors] = 1
	case events.Denied, events.Blocked:
		sums[rateDenials] = 1
	}
	if t.write {
		sums[rateWrites] = 1
	}
	if t.send {
		sums[rateSends] = 1
	}
	if t.login && o.Outcome != events.Success && o.Outcome != events.Pending {
		sums[rateFailedLogins] = 1
	}
	if t.limited {
		sums[rateLimited] = 1
	}
	if t.grant && o.Outcome == events.Success {
		sums[rateGrants] = 1
	}
	return sums, [numValues]uint64{tokens, o.CostMicroUSD, o.DurationMillis, o.Rows}
}

// saturated adds, and stays at the largest number: counts come from outside.
func saturated(a, b uint64) uint64 {
	if s := a + b; s >= a {
		return s
	}
	return math.MaxUint64
}
