package notify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/agentaudit/agentaudit/internal/alert"
	"github.com/agentaudit/agentaudit/internal/notify/slacktest"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// asSent is what of a message is sent to Slack, to be read by people.
func asSent(t testing.TB, m *message) []byte {
	t.Helper()
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(map[string]any{"text": m.text, "metadata": m.metadata, "blocks": m.blocks}); err != nil {
		t.Fatal(err)
	}
	return []byte(out.String())
}

func checkBlocks(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, m *message) {
	t.Helper()
	text, err := json.Marshal(m.blocks)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if err := slacktest.CheckBlocks(text); err != nil {
		t.Fatalf("Slack would refuse it: %v\n%s", err, text)
	}
}

// The exact messages of each severity and status.
func TestMessages(t *testing.T) {
	for severity := anomaly.Low; severity <= anomaly.Critical; severity++ {
		for _, status := range []anomaly.Status{anomaly.Provisional, anomaly.Final, anomaly.Withdrawn} {
			in := spammer(severity, status)
			m, d := live(&shown{incident: in, buttons: true}), details(&in)
			checkBlocks(t, &m)
			checkBlocks(t, &d)
			golden(t, fmt.Sprintf("live_%s_%s.json", severity, status), asSent(t, &m))
			golden(t, fmt.Sprintf("details_%s_%s.json", severity, status), asSent(t, &d))
		}
	}
}

func TestMessagesOfVerdictsAndKinds(t *testing.T) {
	at := time.Date(2026, 11, 20, 2, 40, 0, 0, time.UTC)
	for _, verb := range []alert.Verb{alert.Acknowledge, alert.Snooze, alert.FalsePositive} {
		v := vault.NoticeVerdict{Verdict: verb.Status(), By: "slack-0011223344556677", At: at}
		if verb == alert.Snooze {
			v.Until = at.Add(time.Hour)
		}
		m := live(&shown{incident: spammer(anomaly.High, anomaly.Final), verdict: v, buttons: true})
		checkBlocks(t, &m)
		golden(t, fmt.Sprintf("live_%s.json", v.Verdict), asSent(t, &m))
	}
	named := live(&shown{incident: spammer(anomaly.High, anomaly.Final), identity: "mia@example.com"})
	golden(t, "live_identity.json", asSent(t, &named))
	for _, kind := range []anomaly.EntityKind{anomaly.EntityAgent, anomaly.EntityTenant, anomaly.EntityProducer} {
		in := spammer(anomaly.Medium, anomaly.Provisional)
		in.Kind, in.Subject, in.Entity, in.Tools, in.Signals, in.Events = kind, uuid.Nil, "support-7", nil, in.Signals[:1], nil
		m := live(&shown{incident: in, buttons: true})
		checkBlocks(t, &m)
		golden(t, fmt.Sprintf("live_of_%s.json", kind), asSent(t, &m))
	}
}

func TestDigestMessage(t *testing.T) {
	d := digest{Day: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)}
	m := d.message()
	checkBlocks(t, &m)
	golden(t, "digest_of_nothing.json", asSent(t, &m))
	d.Tenants = []tenantCount{{Tenant: "acme", Critical: 1, High: 2, Withdrawn: 1}, {Tenant: "<!channel> `x`", Low: 9, Summarised: 4}}
	d.Checkpoints = []Checkpoint{{Log: "agent.events/0", Size: 1842, Root: "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", At: d.Day.Add(32 * time.Hour)}}
	m = d.message()
	checkBlocks(t, &m)
	golden(t, "digest.json", asSent(t, &m))
	for i := range 2000 {
		d.Tenants = append(d.Tenants, tenantCount{Tenant: strings.Repeat("&", 300), Critical: i})
		d.Checkpoints = append(d.Checkpoints, Checkpoint{Log: strings.Repeat("<", 300), Size: 1 << 60, Root: strings.Repeat(">", 300), At: d.Day})
	}
	m = d.message()
	checkBlocks(t, &m)
}

// hostile is text that tries to be more than text.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{
			"<!channel> <!here> <!everyone>", "<@U123>", "<https://evil.example|Acknowledge>", "https://evil.example/login", "`<!channel>`", "```<!here>```",
			"a\nb\n*Status*\nfinal", "\u202eevil\u202c", "&lt;!channel&gt;", "@channel @here #general", "*bold* _it_ ~gone~ :rotating_light:", "', 'x'); DROP TABLE audit.events; --",
			"\x00\x1b[31m", strings.Repeat("&", 300), strings.Repeat("`", 300), "\xff\xfe", strings.Repeat("👩‍👩‍👧", 60), "",
		}),
		rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.SampledFrom([]rune("<>&`*_~@!#|\n\u202e\u200b:/a "))), func(r []rune) string { return string(r) }),
	)
}

func hostileIncident(t *rapid.T) anomaly.Incident {
	text := hostile()
	in := anomaly.Incident{
		ID: uuid.New(), Revision: rapid.Uint32Range(1, 1<<31).Draw(t, "revision"), Tenant: text.Draw(t, "tenant"), Entity: text.Draw(t, "entity"), Title: text.Draw(t, "title"),
		Kind:     rapid.SampledFrom([]anomaly.EntityKind{anomaly.EntitySubject, anomaly.EntityAgent, anomaly.EntityTenant, anomaly.EntityProducer}).Draw(t, "kind"),
		Severity: anomaly.Severity(rapid.IntRange(int(anomaly.Low), int(anomaly.Critical)).Draw(t, "severity")),
		Status:   rapid.SampledFrom([]anomaly.Status{anomaly.Provisional, anomaly.Final, anomaly.Withdrawn}).Draw(t, "status"),
		Agents:   rapid.SliceOfN(text, 0, 20).Draw(t, "agents"), Tools: rapid.SliceOfN(text, 0, 20).Draw(t, "tools"), CostUSD: rapid.Float64().Draw(t, "cost"),
	}
	if rapid.Bool().Draw(t, "of a subject") {
		in.Subject = uuid.New()
	}
	for range rapid.IntRange(0, anomaly.MaxSignals).Draw(t, "signals") {
		in.Signals = append(in.Signals, anomaly.Signal{Name: text.Draw(t, "name"), Expected: text.Draw(t, "expected"), Observed: text.Draw(t, "observed"), Score: 3, Since: time.Unix(1, 0)})
	}
	for range rapid.IntRange(0, anomaly.MaxEvents).Draw(t, "events") {
		in.Events = append(in.Events, uuid.New())
	}
	return in
}

// Whatever names events have, a message is within Slack's limits, and nothing of them is more than text.
func TestHostileNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := hostileIncident(t)
		identity := hostile().Draw(t, "identity")
		m, d := live(&shown{incident: in, buttons: true, identity: identity, verdict: vault.NoticeVerdict{Verdict: alert.Acknowledge.Status(), By: identity}}), details(&in)
		for _, m := range []*message{&m, &d} {
			checkBlocks(t, m)
			if strings.ContainsAny(m.text, "<>&@\n`") || strings.Contains(m.text, "://") || len([]rune(m.text)) > 400 || m.text == "" {
				t.Fatalf("text %q", m.text)
			}
		}
		// Backticks only stand around text of others: an even number, so that no span is closed early.
		for _, block := range m.blocks {
			text, _ := json.Marshal(block)
			if strings.Count(string(text), "`")%2 != 0 {
				t.Fatalf("%s", text)
			}
		}
	})
}

func TestClean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, limit := hostile().Draw(t, "text"), rapid.IntRange(1, 200).Draw(t, "limit")
		got := clean(text, limit)
		if len([]rune(got)) > limit || strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '`' }) {
			t.Fatalf("clean(%q, %d) = %q", text, limit, got)
		}
		if again := clean(got, limit); again != got {
			t.Fatalf("clean(%q) = %q", got, again)
		}
	})
	f := func(text string, limit int, want string) {
		t.Helper()
		if got := clean(text, limit); got != want {
			t.Errorf("clean(%q, %d) = %q, want %q", text, limit, got, want)
		}
	}
	f(" a \t\r\n b ", 10, "a b")
	f("abcdef", 5, "abcd…")
	f("abcde", 5, "abcde")
	f("abcd e", 5, "abcd…")
	f("abc def", 5, "abc…")
}

func TestThreadState(t *testing.T) {
	in := spammer(anomaly.High, anomaly.Provisional)
	state := threadState(&in)
	in.CostUSD, in.EventCount, in.Revision = 99, 5000, 9
	if threadState(&in) != state {
		t.Error("numbers that grow are said again")
	}
	changes := map[string]func(in *anomaly.Incident){
		"severity": func(in *anomaly.Incident) { in.Severity = anomaly.Critical },
		"status":   func(in *anomaly.Incident) { in.Status = anomaly.Final },
		"signals":  func(in *anomaly.Incident) { in.Signals = slices.Clone(in.Signals)[:2] },
	}
	for name, change := range changes {
		changed := spammer(anomaly.High, anomaly.Provisional)
		change(&changed)
		if threadState(&changed) == state {
			t.Errorf("%s: not said", name)
		}
		if rose(state, &changed) != (name == "severity") {
			t.Errorf("%s: rose", name)
		}
	}
}
