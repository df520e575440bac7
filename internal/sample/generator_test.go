package sample

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/events"
)

// monday is a Monday, 00:00 UTC.
func monday() time.Time { return time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC) }

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.Start = monday()
	return cfg
}

func mustNew(t testing.TB, cfg Config) *Generator {
	t.Helper()
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func render(t testing.TB, g *Generator, n int) [][]byte {
	t.Helper()
	var r events.Record
	all := make([][]byte, n)
	for i := range all {
		g.Next(&r)
		b, err := r.AppendJSON(nil)
		if err != nil {
			t.Fatalf("event %d of type %s: %v", i, r.Type, err)
		}
		all[i] = b
	}
	return all
}

func TestSameSeedSameEvents(t *testing.T) {
	cfg := testConfig()
	cfg.Incident = DefaultIncident(cfg.Start.Add(time.Minute))
	first := render(t, mustNew(t, cfg), 20_000)
	second := render(t, mustNew(t, cfg), 20_000)
	if !slices.EqualFunc(first, second, bytes.Equal) {
		t.Error("one seed gave different events")
	}
	cfg.Seed++
	other := render(t, mustNew(t, cfg), 20_000)
	if slices.EqualFunc(first, other, bytes.Equal) {
		t.Error("another seed gave the same events")
	}
}

// TestGolden: backtests and figures refer to this stream. Whoever changes it on
// purpose changes the hash.
func TestGolden(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("floating point may differ in its last bit on other architectures")
	}
	h := sha256.New()
	for _, b := range render(t, mustNew(t, testConfig()), 5000) {
		h.Write(b)
		h.Write([]byte{'\n'})
	}
	const want = "b91bc684e10676a69d79ea917ca1c9768858bde8d9b8fa9d4fd75cc1ef4acd8a"
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("the stream's hash is %s, want %s", got, want)
	}
}

func TestEventsParseAndAreInOrder(t *testing.T) {
	cfg := testConfig()
	cfg.Incident = DefaultIncident(cfg.Start.Add(10 * time.Minute))
	g := mustNew(t, cfg)
	parser := events.NewParser()
	var r events.Record
	var ev events.Event
	var sizes []int
	types := make(map[string]int)
	outcomes := make(map[events.Outcome]int)
	ids := make(map[events.UUID]bool)
	subjects, attributes := 0, 0
	last := cfg.Start
	const n = 100_000
	for i := range n {
		g.Next(&r)
		if r.Time.Before(last) {
			t.Fatalf("event %d is of %s, after one of %s", i, r.Time, last)
		}
		last = r.Time
		b, err := r.AppendJSON(nil)
		if err != nil {
			t.Fatalf("event %d of type %s: %v", i, r.Type, err)
		}
		if err := parser.Parse(b, &ev); err != nil {
			t.Fatal(err)
		}
		if ev.Reserved() {
			t.Fatalf("type %s is reserved", r.Type)
		}
		if ids[r.EventID] {
			t.Fatal("an id came twice")
		}
		ids[r.EventID] = true
		sizes = append(sizes, len(b))
		types[r.Type]++
		outcomes[r.Outcome]++
		if r.Approval.Approver != "" && r.Approval.Approver == r.UserID {
			t.Fatal("somebody decides about what they have asked for: an ordinary day has an alert")
		}
		if len(r.DataSubjects) > 0 {
			subjects++
		}
		if len(r.Attributes) > 0 {
			attributes++
		}
		if bytes.ContainsAny(r.Content.Input, "\x00") || bytes.Contains(b, []byte("{customer}")) || bytes.Contains(b, []byte("{order}")) {
			t.Fatalf("a fact was not filled in: %s", b)
		}
	}
	slices.Sort(sizes)
	t.Logf("sizes: 1%% %d, median %d, 99%% %d; types %v; outcomes %v; %d with data subjects, %d with attributes",
		sizes[n/100], sizes[n/2], sizes[n*99/100], types, outcomes, subjects, attributes)
	if m := sizes[n/2]; m < 400 || m > 540 {
		t.Errorf("the median size is %d bytes, want about 470", m)
	}
	for _, want := range []string{
		"auth.login", "message.user", "llm.call", "tool.call", "data.access", "approval.request", "approval.decision",
		"message.agent", "rate_limit.exceeded", "security.blocked", "permission.change", "config.change",
	} {
		if types[want] == 0 {
			t.Errorf("there is no %s", want)
		}
	}
	if f := float64(outcomes[events.Failure]) / n; f < 0.002 || f > 0.03 {
		t.Errorf("%.3f of the events failed", f)
	}
	if f := float64(outcomes[events.Denied]) / n; f < 0.0005 || f > 0.02 {
		t.Errorf("%.4f of the events were denied", f)
	}
	if subjects == 0 || attributes == 0 {
		t.Errorf("%d events with data subjects, %d with attributes", subjects, attributes)
	}
}

// TestHabits: over two weeks the rate is as configured, weekends are quiet, and
// each user works at certain hours.
func TestHabits(t *testing.T) {
	cfg := testConfig()
	cfg.Users, cfg.EventsPerSecond = 60, 0.5
	g := mustNew(t, cfg)
	const days = 14
	end := cfg.Start.AddDate(0, 0, days)
	var r events.Record
	hours := make(map[string]*[24]int)
	agentsOf := make(map[string]map[string]int)
	weekday, weekend, total := 0, 0, 0
	for g.Next(&r); r.Time.Before(end); g.Next(&r) {
		total++
		if r.UserID == "" {
			continue
		}
		if hours[r.UserID] == nil {
			hours[r.UserID] = new([24]int)
			agentsOf[r.UserID] = make(map[string]int)
		}
		hours[r.UserID][r.Time.Hour()]++
		agentsOf[r.UserID][r.Agent.ID]++
		if d := r.Time.Weekday(); d == time.Saturday || d == time.Sunday {
			weekend++
		} else {
			weekday++
		}
	}
	rate := float64(total) / (days * 86_400)
	if rate < 0.9*cfg.EventsPerSecond || rate > 1.1*cfg.EventsPerSecond {
		t.Errorf("%.3f events a second, want %.3f", rate, cfg.EventsPerSecond)
	}
	if weekend*5 > weekday {
		t.Errorf("%d events on weekends, %d on other days", weekend, weekday)
	}
	if len(hours) != cfg.Users {
		t.Errorf("%d users, want %d", len(hours), cfg.Users)
	}
	for user, h := range hours {
		// The busiest 10 hours, in a row, hold nearly everything.
		best, sum := 0, 0
		for from := range 24 {
			window := 0
			for i := range 10 {
				window += h[(from+i)%24]
			}
			best = max(best, window)
		}
		for _, n := range h {
			sum += n
		}
		if sum > 300 && float64(best) < 0.75*float64(sum) {
			t.Errorf("%s has no working day: %v", user, h)
		}
		favourite := 0
		for _, n := range agentsOf[user] {
			favourite = max(favourite, n)
		}
		if sum > 300 && float64(favourite) < 0.7*float64(sum) {
			t.Errorf("%s has no favourite agent: %v", user, agentsOf[user])
		}
	}
}

// TestIncident: calls, cost and mails of the incident are far beyond its user's
// habit, the prompt comes first, and it ends.
func TestIncident(t *testing.T) {
	cfg := testConfig()
	cfg.Users, cfg.EventsPerSecond = 60, 5                        // each as busy as by default
	cfg.Incident = DefaultIncident(cfg.Start.Add(34 * time.Hour)) // Tuesday at ten
	g := mustNew(t, cfg)
	tenant, user := g.Victim()
	var r events.Record
	var usual, during, mails int
	var usualCost, duringCost float64
	var poisoned time.Time
	end := cfg.Incident.At.Add(cfg.Incident.Lasting)
	stopped := false
	for g.Next(&r); r.Time.Before(end.Add(2 * time.Hour)); g.Next(&r) {
		if r.Tenant != tenant || r.UserID != user {
			continue
		}
		if strings.Contains(string(r.Content.Output), "ignore all previous instructions") {
			poisoned = r.Time
		}
		cost := 0.0
		if r.Usage.CostUSD != nil {
			cost = *r.Usage.CostUSD
		}
		if r.Time.Before(cfg.Incident.At) {
			usual++
			usualCost += cost
			continue
		}
		if r.Tool.Name == "send_email" && r.Type == "tool.call" {
			if poisoned.IsZero() {
				t.Fatal("mails before the prompt")
			}
			mails++
		}
		stopped = stopped || r.Type == "security.blocked"
		during++
		duringCost += cost
	}
	if poisoned.Before(cfg.Incident.At) || poisoned.After(cfg.Incident.At.Add(time.Minute)) {
		t.Errorf("the prompt comes at %s", poisoned)
	}
	before := cfg.Incident.At.Sub(cfg.Start).Hours()
	long := cfg.Incident.Lasting.Hours()
	rate, cost := float64(usual)/before, usualCost/before
	t.Logf("usual: %.1f events and %.4f USD an hour; incident: %.0f events, %.0f mails and %.0f USD an hour",
		rate, cost, float64(during)/long, float64(mails)/long, duringCost/long)
	if usual < 20 {
		t.Errorf("the user has %d events before", usual)
	}
	if float64(during)/long < 20*rate || duringCost/long < 20*cost || duringCost/long < 1000 || float64(mails)/long < 1000 {
		t.Error("the incident does not stand out")
	}
	if !stopped {
		t.Error("the incident does not end")
	}
}

func TestConfigErrors(t *testing.T) {
	f := func(change func(*Config), want string) {
		t.Helper()
		cfg := testConfig()
		change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	f(func(c *Config) { c.Start = time.Time{} }, "Start")
	f(func(c *Config) { c.Tenants = 9 }, "Tenants")
	f(func(c *Config) { c.Users = 0 }, "Users")
	f(func(c *Config) { c.EventsPerSecond = 0 }, "EventsPerSecond")
	f(func(c *Config) { c.Incident = DefaultIncident(monday().Add(-time.Second)) }, "Incident.At")
}

func TestBench(t *testing.T) {
	b, err := NewBench(1, 1_000_000, monday())
	if err != nil {
		t.Fatal(err)
	}
	parser := events.NewParser()
	var ev events.Event
	var sizes, contents []int
	users := make(map[string]bool)
	var key, scratch []byte
	for range 20_000 {
		record := b.AppendJSON(nil)
		if err := parser.Parse(record, &ev); err != nil {
			t.Fatal(err)
		}
		key = b.AppendKey(key[:0])
		if !events.KeyMatches(key, ev.Value(events.FieldTenant, scratch), ev.Value(events.FieldUserID, scratch)) {
			t.Fatalf("key %s of %s", key, record)
		}
		users[string(key)] = true
		sizes = append(sizes, len(record))
		contents = append(contents, len(ev.Raw(events.FieldContentOutput)))
	}
	slices.Sort(sizes)
	slices.Sort(contents)
	t.Logf("sizes %d to %d, median %d; content %d to %d", sizes[0], sizes[len(sizes)-1], sizes[len(sizes)/2], contents[0], contents[len(contents)-1])
	if m := sizes[len(sizes)/2]; m < 460 || m > 480 {
		t.Errorf("the median size is %d", m)
	}
	if len(users) < 19_000 {
		t.Errorf("%d different users", len(users))
	}
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { buf = b.AppendJSON(buf[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkNext(b *testing.B) {
	g := mustNew(b, testConfig())
	var r events.Record
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		g.Next(&r)
		var err error
		if buf, err = r.AppendJSON(buf[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBench(b *testing.B) {
	gen, err := NewBench(1, 1_000_000, monday())
	if err != nil {
		b.Fatal(err)
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = gen.AppendJSON(buf[:0])
	}
	b.SetBytes(int64(len(buf)))
}
