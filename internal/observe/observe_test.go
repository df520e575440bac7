package observe_test

import (
	"fmt"
	"testing"

	"github.com/agentaudit/agentaudit/internal/observe"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// seen returns what is seen of an event that has members beside the required ones.
func seen(t *testing.T, filler *observe.Filler, more string) anomaly.Observation {
	t.Helper()
	text := `{"schema":"agentaudit.event/v1","event_id":"01920000-0000-7000-8000-000000000001","time":"2026-03-02T09:00:00.25Z","type":"tool.call","action":"act",` +
		`"outcome":"denied","tenant":"acme"` + more + `}`
	var ev events.Event
	if err := events.NewParser().Parse([]byte(text), &ev); err != nil {
		t.Fatal(err)
	}
	ob := anomaly.Observation{Agent: "left over", Rows: 7, Network: 7}
	filler.Fill(&ob, &ev)
	return ob
}

// TestFill: everything that detection weighs arrives, and nothing of the observation before.
func TestFill(t *testing.T) {
	filler := observe.New(observe.NewKey([32]byte{1}))
	got := seen(t, filler, `,"user_id":"mia","agent":{"id":"bot","name":"Bot \u0041"},"session_id":"s","tool":{"name":"crm.search"},"model":{"provider":"p","name":"m"},`+
		`"usage":{"input_tokens":3,"output_tokens":4,"cost_usd":0.0000025},"resource":{"type":"customer","id":"r"},"rows":5,"duration_ms":6,"error":{"type":"timeout"},`+
		`"approval":{"risk":"high","decision":"approved","policy":"p7"},"source":{"ip":"192.0.2.7"},"producer":{"id":"pod-1","seq":8}`)
	if got.Session == 0 || got.Resource == 0 || got.Network == 0 || got.Session == got.Resource {
		t.Errorf("session %x, resource %x, network %x", got.Session, got.Resource, got.Network)
	}
	got.Session, got.Resource, got.Network = 0, 0, 0
	want := anomaly.Observation{
		Time: 1772442000250000, Event: [16]byte{1, 0x92, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}, Tenant: "acme", Type: "tool.call", Action: "act",
		Outcome: events.Denied, Agent: "bot", AgentName: "Bot A", Tool: "crm.search", Provider: "p", Model: "m", ResourceType: "customer", ErrorType: "timeout",
		Risk: "high", Decision: "approved", Policy: "p7", InputTokens: 3, OutputTokens: 4, Rows: 5, DurationMillis: 6, CostMicroUSD: 3, Producer: "pod-1", ProducerSeq: 8,
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	bare := seen(t, filler, "")
	want = anomaly.Observation{Time: want.Time, Event: want.Event, Tenant: "acme", Type: "tool.call", Action: "act", Outcome: events.Denied}
	if fmt.Sprintf("%+v", bare) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", bare, want)
	}
}

// TestNetworks: another address of the same network is nothing new.
func TestNetworks(t *testing.T) {
	filler := observe.New(observe.NewKey([32]byte{1}))
	of := func(ip string) uint64 {
		t.Helper()
		return seen(t, filler, fmt.Sprintf(`,"source":{"ip":%q}`, ip)).Network
	}
	same := func(a, b string, want bool) {
		t.Helper()
		if (of(a) == of(b)) != want {
			t.Errorf("%s and %s are the same network: %v", a, b, !want)
		}
	}
	same("192.0.2.7", "192.0.2.200", true)
	same("192.0.2.7", "192.0.3.7", false)
	same("192.0.2.7", "::ffff:192.0.2.9", true)
	same("2001:db8:40:1::1", "2001:db8:40:ffff::2", true)
	same("2001:db8:40::1", "2001:db8:41::1", false)
	same("fe80::1%eth0", "fe80::1%eth1", true)
}

// TestHashesAreKeyed: equality can be told within a deployment; who reads a snapshot cannot try all addresses without the search key.
func TestHashesAreKeyed(t *testing.T) {
	const more = `,"session_id":"s","resource":{"id":"s"},"source":{"ip":"192.0.2.7"}`
	one, again, other := seen(t, observe.New(observe.NewKey([32]byte{1})), more), seen(t, observe.New(observe.NewKey([32]byte{1})), more), seen(t, observe.New(observe.NewKey([32]byte{2})), more)
	if one.Session != again.Session || one.Network != again.Network || one.Resource != again.Resource {
		t.Error("after a restart hashes are others")
	}
	if one.Session == other.Session || one.Network == other.Network || one.Resource == other.Resource {
		t.Error("another deployment's key makes the same hashes")
	}
	if plain := seen(t, observe.New(observe.Key{}), more); plain.Network == one.Network {
		t.Error("the search key is not used")
	}
}

// TestManyNames: names that a producer makes up cost copies and no memory, and stay what they are.
func TestManyNames(t *testing.T) {
	filler := observe.New(observe.Key{})
	for i := range 1<<16 + 100 {
		if i%1000 != 0 && i < 1<<16-10 {
			continue // the parser takes the time
		}
		name := fmt.Sprintf("tool-%d", i)
		if got := seen(t, filler, fmt.Sprintf(`,"tool":{"name":%q},"source":{"ip":"10.%d.%d.1"}`, name, i>>8&255, i&255)); got.Tool != name || got.Network == 0 {
			t.Fatalf("%+v", got)
		}
	}
}

func TestCosts(t *testing.T) {
	filler := observe.New(observe.Key{})
	f := func(usd string, want uint64) {
		t.Helper()
		if got := seen(t, filler, `,"usage":{"cost_usd":`+usd+`}`).CostMicroUSD; got != want {
			t.Errorf("%s USD are %d millionths, want %d", usd, got, want)
		}
	}
	f("0", 0)
	f("12.345678", 12345678)
	f("0.0000004", 0)
	f("0.0000005", 1)
	f("1e9", 1e15)
}
