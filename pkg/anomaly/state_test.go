package anomaly

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// keep stores states as a process does.
func keep(e *Engine, states map[Key][]byte) {
	e.Changed(func(key Key, state []byte) {
		if state == nil {
			delete(states, key)
			return
		}
		states[key] = slices.Clone(state)
	})
}

// goldenStates is an engine with something of every kind.
func goldenStates(t testing.TB) map[string][]byte {
	e := testEngine(t, nil)
	for n := range 300 {
		o := testEvent(n, byte(1+n%3), int64(n*400))
		o.Rows, o.InputTokens, o.CostMicroUSD, o.Network, o.ResourceType = uint64(n), uint64(100*n), uint64(1000*n), uint64(n%4), "customer"
		o.Producer, o.ProducerSeq = "gateway", uint64(n+n/200)
		if n == 299 {
			o.Matches = []int{3}
		}
		e.Observe(&o)
	}
	e.Direct(Directive{Kind: Suppress, At: testStart + 100e6, Until: testStart + 1e12, Tenant: "acme", Of: EntityAgent, Entity: "support", Signals: []string{"rate.rows"}})
	e.Direct(Directive{Kind: FalsePositive, At: testStart + 1e13, Tenant: "acme", Of: EntityTenant})
	e.Clock(0, testStart+299*400e6+600e6)
	states := map[string][]byte{}
	e.Changed(func(key Key, state []byte) {
		name := string(key.Kind)
		if _, ok := states[name]; !ok && state != nil {
			states[name] = slices.Clone(state)
		}
	})
	return states
}

func goldenKey(kind string, state []byte) Key {
	key := Key{Kind: StateKind(kind), Tenant: "acme"}
	switch key.Kind {
	case StateSubject:
		key.Subject = testSubject(1)
	case StateAgent:
		key.Entity = "support"
	case StateProducer:
		key.Entity = "gateway"
	case StateIncident:
		if at := bytes.Index(state, []byte(`{"id":"`)); at >= 0 && len(state) > at+43 {
			key.Entity = string(state[at+7 : at+43])
		}
		key.Subject = testSubject(3)
	case StateEngine:
		key.Tenant = ""
	}
	return key
}

// States outlive versions of the program: what was written once is read for ever, or refused.
func TestGoldenStates(t *testing.T) {
	states := goldenStates(t)
	if len(states) != 7 {
		t.Fatalf("%d kinds of states, 7 expected", len(states))
	}
	for kind, state := range states {
		path := filepath.Join("testdata", "state-"+kind+".bin")
		if *updateGolden {
			if err := os.WriteFile(path, state, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(state, want) {
			t.Errorf("the state of a %s is not what it was: a new version of the format needs a new number", kind)
		}
		e := testEngine(t, nil)
		if err := e.Restore(goldenKey(kind, want), want); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// States of the first version, which knew no series, go on.
func TestFirstVersionOfStates(t *testing.T) {
	for kind := range goldenStates(t) {
		state, err := os.ReadFile(filepath.Join("testdata", "v1", "state-"+kind+".bin"))
		if err != nil {
			t.Fatal(err)
		}
		e := testEngine(t, nil)
		if err := e.Restore(goldenKey(kind, state), state); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if err := e.Restore(goldenKey(kind, state), state[:len(state)-1]); err == nil {
			t.Errorf("%s: cut off, and taken", kind)
		}
	}
}

// FuzzRestore: states are read from a database; whatever stands there must not stop the process.
func FuzzRestore(f *testing.F) {
	for kind, state := range goldenStates(f) {
		f.Add(kind, state)
	}
	f.Fuzz(func(t *testing.T, kind string, state []byte) {
		e := testEngine(t, nil)
		if err := e.Restore(goldenKey(kind, state), state); err != nil {
			return
		}
		for n := range 20 {
			o := testEvent(n, byte(n%3), int64(60*n))
			o.Producer, o.ProducerSeq, o.Rows = "gateway", uint64(n), uint64(1000*n)
			e.Observe(&o)
		}
		e.Clock(0, testStart+int64(time.Hour/time.Microsecond))
		e.Take(nil)
		e.Changed(func(key Key, state []byte) {
			if state == nil {
				return
			}
			if err := testEngine(t, nil).Restore(key, state); err != nil {
				t.Errorf("what was written is refused: %v", err)
			}
		})
	})
}
