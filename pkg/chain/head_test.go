package chain

import (
	"testing"
)

func TestHeadOf(t *testing.T) {
	b := newLog(t, "agent.events/3", 7)
	f := func(seq int, want Head) {
		t.Helper()
		want.Log, want.Size, want.Leaf = "agent.events/3", uint64(seq+1), LeafHash(b.entries[seq].entry)
		got, err := HeadOf(b.entries[seq].entry)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("seq %d:\ngot  %+v\nwant %+v", seq, got, want)
		}
	}
	id := func(last byte) [16]byte {
		return [16]byte{0x01, 0x93, 0x49, 0x2e, 0x5c, 0x00, 0x70, 0x00, 0x80, 15: last}
	}
	f(0, Head{Epoch: 0, NextEpoch: 202611, Next: 17, LastOffset: NoOffset})
	f(1, Head{Epoch: 202611, NextEpoch: 202611, Next: 18, LastOffset: 17, LastTimeMillis: 1795209245017, LastEventID: id(0xa1)})
	f(2, Head{Epoch: 202611, NextEpoch: 202611, Next: 19, LastOffset: 18, LastTimeMillis: 1795209245018, LastEventID: id(0xa2)})
	f(3, Head{Epoch: 202611, NextEpoch: 202611, Next: 20, LastOffset: 19, LastTimeMillis: 1795209245019})
	f(4, Head{Epoch: 202611, NextEpoch: 202612, Next: 20, LastOffset: NoOffset})
	f(5, Head{Epoch: 202612, NextEpoch: 202612, Next: 21, LastOffset: 20, LastTimeMillis: 1795209245020, LastEventID: id(0xa3)})
	f(6, Head{Epoch: 202612, NextEpoch: 202612, Next: 22, LastOffset: 21, LastTimeMillis: 1795209245021, LastEventID: id(0xa1)})
	b.control(t, &Control{Op: OpClose, NextEpoch: 202612, Successor: "agent.events/3.1"})
	f(7, Head{Epoch: 202612, NextEpoch: 202612, Next: 22, Closed: true, LastOffset: NoOffset})
}

func TestToken(t *testing.T) {
	empty := EmptyHead("agent.events/3")
	// { printf 'agentaudit/insert/v1\0agent.events/3\0'; head -c 36 /dev/zero; } | sha256sum
	const want = "ed01394b706892cfa334cbb120292770b07e78dc991874b191d04b0a1575a4e3"
	if got := empty.Token(0); got != want {
		t.Errorf("token of the empty log: %s", got)
	}
	b := newLog(t, "agent.events/3", 5)
	seen := map[string]bool{}
	for _, h := range []Head{empty, EmptyHead("agent.events/30"), EmptyHead("agent.events/3.1"), b.head} {
		for attempt := range uint32(3) {
			if token := h.Token(attempt); seen[token] {
				t.Errorf("%s, size %d, attempt %d: token of another head", h.Log, h.Size, attempt)
			} else {
				seen[token] = true
			}
		}
	}
}

func TestHeadOfRefuses(t *testing.T) {
	f := func(what string, h Header, body string) {
		t.Helper()
		if _, err := HeadOf(AppendEntry(nil, &h, []byte(body))); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	open := Control{Op: OpOpen, NextEpoch: 202611, Deployment: "prod", Topic: "t", Partition: 1, FirstOffset: 5}
	header := Header{Log: "t/1", Source: Source{Offset: NoOffset, Next: 5}, Kind: KindControl}
	control := func(c Control) string { return string(AppendControl(nil, &c)) }
	if _, err := HeadOf(AppendEntry(nil, &header, []byte(control(open)))); err != nil {
		t.Fatal(err)
	}
	with := func(change func(h *Header, c *Control)) (Header, string) {
		h, c := header, open
		change(&h, &c)
		return h, control(c)
	}
	refuse := func(what string, change func(h *Header, c *Control)) {
		t.Helper()
		h, body := with(change)
		f(what, h, body)
	}
	refuse("open at seq 1", func(h *Header, c *Control) { h.Seq, h.Epoch = 1, 202611 })
	refuse("open in an epoch", func(h *Header, c *Control) { h.Epoch = 202611 })
	refuse("another topic", func(h *Header, c *Control) { c.Topic = "u" })
	refuse("another partition", func(h *Header, c *Control) { c.Partition = 2 })
	refuse("first offset is not src.next", func(h *Header, c *Control) { c.FirstOffset = 6 })
	refuse("successor without predecessor", func(h *Header, c *Control) { h.Log = "t/1.1" })
	refuse("predecessor of generation 0", func(h *Header, c *Control) { c.Predecessor = &Predecessor{Log: "t/1"} })
	refuse("predecessor two generations back", func(h *Header, c *Control) { h.Log = "t/1.2"; c.Predecessor = &Predecessor{Log: "t/1"} })
	refuse("epoch at seq 0", func(h *Header, c *Control) { *c = Control{Op: OpEpoch, NextEpoch: 202611} })
	refuse("earlier epoch announced", func(h *Header, c *Control) {
		h.Seq, h.Epoch, *c = 7, 202611, Control{Op: OpEpoch, NextEpoch: 202610}
	})
	refuse("successor is not the next generation", func(h *Header, c *Control) {
		h.Seq, h.Epoch, *c = 7, 202611, Control{Op: OpClose, NextEpoch: 202611, Successor: "t/1.2"}
	})
	event := Header{Log: "t/1", Seq: 3, Epoch: 202611, Source: Source{Offset: 1, Next: 2}, Kind: KindEvent}
	f("event without an event", event, `"subject":"018f2a4c-8d6e-7b3a-9c1d-2e5f60718293"`)
	f("event whose id is not the first member", event, `"event":{"type":"a.b","event_id":"0193492e-5c00-7000-8000-0000000000a1"}`)
	f("subject in upper case", event, `"subject":"018F2a4c-8d6e-7b3a-9c1d-2e5f60718293",`+eventBody[len(`"subject":"018f2a4c-8d6e-7b3a-9c1d-2e5f60718293",`):])
	f("no data subjects in the list", event, `"data_subjects":[],`+systemEventBody)
	event.Kind = KindRejected
	f("rejected without a reason", event, `"rejected":{"field":"x"}`)
	f("rejected with another form of its text", event, `"rejected":{"field":"x","reason":"\u0061","bytes":1}`)
	event.Kind = KindSystem
	f("system without an author", event, `"event":{"event_id":"0193492e-5c00-7000-8000-0000000000a1"}`)
	f("system record without an id", event, string(AppendSystem(nil, "a", make([]byte, signatureBytes), []byte(`{"event":{"event_id":"0193492e-5c00-7000-8000-0000000000a1"}}`))))
	f("system record with two ids", event, string(AppendSystem(nil, "a", make([]byte, signatureBytes),
		[]byte(`{"event_id":"0193492e-5c00-7000-8000-0000000000a1","event\u005fid":"0193492e-5c00-7000-8000-0000000000a2"}`))))
	f("short signature", event, string(AppendSystem(nil, "a", make([]byte, signatureBytes-1), []byte(`{"event_id":"0193492e-5c00-7000-8000-0000000000a1"}`))))
}
