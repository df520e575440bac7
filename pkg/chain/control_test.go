package chain

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

var controls = []Control{
	{Op: OpOpen, NextEpoch: 202611, Deployment: "prod", Topic: "agent.events", Partition: 3, FirstOffset: 0},
	{Op: OpOpen, NextEpoch: 202611, Deployment: "audit.example.com/eu-1", Topic: "t", Partition: 0, FirstOffset: 1 << 40,
		Predecessor: &Predecessor{Log: "t/0.1", Size: 77, Head: Hash{31: 9}}},
	{Op: OpEpoch, NextEpoch: 202701},
	{Op: OpClose, NextEpoch: 202611, Successor: "agent.events/3.1"},
}

func TestControlRoundTrip(t *testing.T) {
	for _, want := range controls {
		got, err := ParseControl(AppendControl(nil, &want))
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%+v became %+v, %v", want, got, err)
		}
	}
}

func TestControlText(t *testing.T) {
	const want = `"control":{"op":"open","next_epoch":202611,"deployment":"audit.example.com/eu-1","topic":"t","partition":0,"first_offset":1099511627776,` +
		`"predecessor":{"log":"t/0.1","size":77,"head":"0000000000000000000000000000000000000000000000000000000000000009"}}`
	if got := string(AppendControl(nil, &controls[1])); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestParseControlRefuses(t *testing.T) {
	f := func(c *Control) {
		t.Helper()
		body := AppendControl(nil, c)
		if _, err := ParseControl(body); err == nil {
			t.Errorf("accepted: %s", body)
		}
	}
	change := func(i int, change func(c *Control)) {
		t.Helper()
		c := controls[i]
		change(&c)
		f(&c)
	}
	change(0, func(c *Control) { c.Op = "reopen" })
	change(0, func(c *Control) { c.NextEpoch = 0 })
	change(2, func(c *Control) { c.NextEpoch = 202613 })
	change(0, func(c *Control) { c.Deployment = "" })
	change(0, func(c *Control) { c.Deployment = `a","topic":"b` })
	change(0, func(c *Control) { c.Topic = "no topic" })
	change(0, func(c *Control) { c.Partition = -1 })
	change(0, func(c *Control) { c.FirstOffset = -1 })
	change(0, func(c *Control) { c.Predecessor = &Predecessor{Log: "x"} })
	change(3, func(c *Control) { c.Successor = "" })
	if _, err := ParseControl(append(AppendControl(nil, &controls[0]), ' ')); err == nil {
		t.Error("accepted with something behind it")
	}
}

func TestCheckDeployment(t *testing.T) {
	for _, name := range []string{"a", "audit.example.com/eu-1", "A_1", strings.Repeat("x", maxDeploymentBytes)} {
		if err := CheckDeployment(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "-a", "a/", ".", "a b", "a\n", "ä", "a+b", `a"`, strings.Repeat("x", maxDeploymentBytes+1)} {
		if CheckDeployment(name) == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

func FuzzParseControl(f *testing.F) {
	for i := range controls {
		f.Add(AppendControl(nil, &controls[i]))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := ParseControl(body)
		if err == nil && !bytes.Equal(AppendControl(nil, c), body) {
			t.Fatal("accepted what AppendControl does not write")
		}
	})
}

// An opening is read with the entry around it; no other entry is one.
func TestParseOpening(t *testing.T) {
	h := Header{Log: "agent.events/3", Source: Source{Offset: NoOffset, Next: 0}, Kind: KindControl}
	open, err := ParseOpening(AppendEntry(nil, &h, AppendControl(nil, &controls[0])))
	if err != nil || !reflect.DeepEqual(*open, controls[0]) {
		t.Errorf("%+v, %v", open, err)
	}
	entry := AppendEntry(nil, &h, AppendControl(nil, &controls[2]))
	if open, err := ParseOpening(entry); err == nil {
		t.Errorf("took %s for an opening: %+v", entry, open)
	}
	h.Kind = KindRejected
	for _, entry := range [][]byte{nil, []byte("x"), AppendEntry(nil, &h, AppendRejected(nil, &Rejected{Field: "record", Reason: "not JSON"}))} {
		if open, err := ParseOpening(entry); err == nil {
			t.Errorf("took %s for an opening: %+v", entry, open)
		}
	}
}
