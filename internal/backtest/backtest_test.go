package backtest_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/backtest"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/anomaly/rules"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// begin is in the past of every machine that runs this.
var begin = time.Date(2025, 3, 3, 9, 0, 0, 0, time.UTC)

type happening struct {
	at   time.Time
	line string
}

// bruteForce is what two users do in two hours: the first one's password is being guessed.
func bruteForce() (list []happening) {
	add := func(after time.Duration, user, eventType, outcome string) {
		at := begin.Add(after)
		list = append(list, happening{at, fmt.Sprintf(`{"schema":"agentaudit.event/v1","event_id":"01920000-0000-7000-8000-%012d","time":"%s","type":"%s","action":"act","outcome":"%s",`+
			`"tenant":"acme","user_id":"%s","source":{"ip":"192.0.2.7"}}`, len(list), at.Format(time.RFC3339), eventType, outcome, user)})
	}
	for m := range 40 {
		at := time.Duration(3*m) * time.Minute
		add(at, "mia", "tool.call", "success")
		add(at+time.Second, "noah", "tool.call", "success")
		if m >= 10 && m < 25 {
			add(at+20*time.Second, "mia", "auth.login", "failure")
		}
	}
	return list
}

func text(list []happening) string {
	var b strings.Builder
	for _, h := range list {
		b.WriteString(h.line + "\n")
	}
	return b.String()
}

func config(t *testing.T) backtest.Config {
	t.Helper()
	set, err := rules.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	return backtest.Config{Engine: anomaly.DefaultConfig(), Rules: set}
}

func play(t *testing.T, cfg backtest.Config, lines string) (*backtest.Result, error) {
	t.Helper()
	scanner, err := scan.New(scan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return backtest.Lines(t.Context(), cfg, scanner, strings.NewReader(lines), time.Now(), new(atomic.Uint64))
}

func good(t *testing.T, cfg backtest.Config, lines string) *backtest.Result {
	t.Helper()
	result, err := play(t, cfg, lines)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestBruteForceIsOneIncident(t *testing.T) {
	result := good(t, config(t), text(bruteForce()))
	if len(result.Incidents) != 1 {
		t.Fatalf("%d incidents: %+v", len(result.Incidents), result.Incidents)
	}
	in := result.Incidents[0]
	if in.Status != anomaly.Final || in.Severity != anomaly.High || in.Tenant != "acme" || [16]byte(in.Subject) != backtest.Pseudonym([]byte("acme"), []byte("mia")) ||
		!slices.ContainsFunc(in.Signals, func(s anomaly.Signal) bool { return s.Name == "rule.login.brute_force" }) {
		t.Errorf("%+v", in)
	}
	s := result.Summary
	if s.Events != 95 || s.Users != 2 || s.Days != 1 || s.UserDays != 2 || s.BySeverity[anomaly.High] != 1 || s.Summarised != 0 || s.PerUserDay() != 0.5 {
		t.Errorf("%+v", s)
	}
}

// TestOrderDoesNotMatter: events that come within five minutes of each other show the same in any order, and twice the same as once.
func TestOrderDoesNotMatter(t *testing.T) {
	want := good(t, config(t), text(bruteForce())).Incidents
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		list := bruteForce()
		list = append(list, list[random.IntN(len(list))])
		for i := range list {
			list[i].at = list[i].at.Add(time.Duration(random.Int64N(int64(anomaly.Lateness))))
		}
		slices.SortStableFunc(list, func(a, b happening) int { return a.at.Compare(b.at) })
		got := good(t, config(t), text(list)).Incidents
		if len(got) != len(want) {
			t.Fatalf("seed %d: %d incidents, want %d", seed, len(got), len(want))
		}
		for i := range got {
			g, w := got[i], want[i]
			if g.ID != w.ID || g.Subject != w.Subject || !g.First.Equal(w.First) || !g.Last.Equal(w.Last) || g.Severity != w.Severity || !slices.Equal(g.Events, w.Events) {
				t.Errorf("seed %d:\n%+v\nwant\n%+v", seed, g, w)
			}
		}
	}
}

func TestBrokenLineIsRefused(t *testing.T) {
	first := bruteForce()[0].line
	for _, broken := range []string{"secret words", `{"schema":"agentaudit.event/v1"}`, strings.Replace(first, "tool.call", "audit.heartbeat", 1), strings.Repeat("x", 2<<20)} {
		_, err := play(t, config(t), first+"\n\n"+broken+"\n"+first+"\n")
		if err == nil || !strings.Contains(err.Error(), "line 3") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.40q: %v", broken, err)
		}
	}
}

func TestBounds(t *testing.T) {
	lines := text(bruteForce())
	other := config(t)
	other.Tenant = "other"
	early := config(t)
	early.Until = begin.Add(45 * time.Minute)
	late := config(t)
	late.Since = begin.Add(110 * time.Minute)
	for name, cfg := range map[string]backtest.Config{"another tenant": other, "before it": early, "behind it": late} {
		if result := good(t, cfg, lines); len(result.Incidents) != 0 || result.Summary.Events >= 95 {
			t.Errorf("%s: %+v", name, result)
		}
	}
	if n := good(t, late, lines).Summary.Events; n != 6 {
		t.Errorf("%d events since then", n)
	}
	late.Since = begin.Add(20 * time.Minute)
	if n := len(good(t, late, lines).Incidents); n != 1 {
		t.Errorf("%d incidents since before it", n)
	}
	late.Until = late.Since
	if _, err := play(t, late, lines); err == nil {
		t.Error("a span that ends where it begins")
	}
	if result := good(t, config(t), ""); len(result.Incidents) != 0 || result.Summary.PerUserDay() != 0 {
		t.Errorf("nothing: %+v", result)
	}
}

// TestAClockThatIsWrong: an event from the far future makes no other one late.
func TestAClockThatIsWrong(t *testing.T) {
	list := bruteForce()
	future := strings.Replace(strings.Replace(list[0].line, "2025-", "2199-", 1), "000000000000", "999999999999", 1)
	if n := len(good(t, config(t), text(list)+future+"\n").Incidents); n != 1 {
		t.Errorf("%d incidents", n)
	}
}

// TestOwnRules: what the rules say is what is alerted.
func TestOwnRules(t *testing.T) {
	set, err := rules.Parse("rules.yaml", []byte("version: 1\nrules:\n  - {id: noah.acts, title: Something happens, severity: low, on: auth.login, event: outcome == \"failure\", suppress_for: 24h}\n"+
		"  - {id: login.brute_force, enabled: false}\n"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(t)
	cfg.Rules = set
	found := false
	for _, in := range good(t, cfg, text(bruteForce())).Incidents {
		for _, s := range in.Signals {
			found = found || s.Name == "rule.noah.acts"
			if s.Name == "rule.login.brute_force" {
				t.Errorf("%+v", in)
			}
		}
	}
	if !found {
		t.Error("the rule alerts nothing")
	}
}

// TestTheEndIsNoSilence: that a producer sends nothing behind the last event alerts nobody; that it did before does.
func TestTheEndIsNoSilence(t *testing.T) {
	var list []string
	add := func(after time.Duration, more string) {
		list = append(list, fmt.Sprintf(`{"schema":"agentaudit.event/v1","event_id":"01920000-0000-7000-8000-%012d","time":"%s","type":"tool.call","action":"act","outcome":"success","tenant":"acme"%s}`,
			len(list), begin.Add(after).Format(time.RFC3339), more))
	}
	silences := func() (n int) {
		t.Helper()
		for _, in := range good(t, config(t), strings.Join(list, "\n")).Incidents {
			for _, s := range in.Signals {
				if s.Name == "silence.producer" {
					n++
				}
			}
		}
		return n
	}
	const days = 5
	for m := range days * 24 * 30 {
		add(time.Duration(2*m)*time.Minute, fmt.Sprintf(`,"producer":{"id":"gateway","seq":%d}`, m))
	}
	if n := silences(); n != 0 {
		t.Errorf("%d silences at the end", n)
	}
	add(days*24*time.Hour+5*time.Hour, "")
	if n := silences(); n != 1 {
		t.Errorf("%d silences, 1 expected", n)
	}
}
