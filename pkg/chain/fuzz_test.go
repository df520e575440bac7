package chain

import (
	"bytes"
	"testing"
)

// FuzzCutLogPath: paths of HTTP requests and names in an exported folder. What is accepted has one spelling, and leaves the folder for nothing.
func FuzzCutLogPath(f *testing.F) {
	f.Add("agent.events/3/checkpoint")
	f.Add("agent.events/3.1/tile/0/x001/234.p/17")
	f.Add("../3/checkpoint")
	f.Fuzz(func(t *testing.T, path string) {
		log, what, err := CutLogPath(path)
		if err != nil {
			return
		}
		if log+"/"+what != path {
			t.Errorf("%q is read as %q and %q", path, log, what)
		}
		topic, partition, generation, err := ParseLog(log)
		if err != nil || LogName(topic, partition, generation) != log {
			t.Errorf("%q is %s, %d, %d, %v", log, topic, partition, generation, err)
		}
		if topic == "." || topic == ".." || len(topic) > 249 {
			t.Errorf("%q is a topic", topic)
		}
	})
}

// FuzzCutBundled: bundles of exported folders and servers. Entries and what is behind them are the bundle again, and nothing is read beyond its end.
func FuzzCutBundled(f *testing.F) {
	var bundle []byte
	for _, entry := range [][]byte{[]byte("one"), {}, bytes.Repeat([]byte("x"), 300)} {
		var err error
		if bundle, err = AppendBundled(bundle, entry); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(bundle)
	f.Add(bundle[:len(bundle)-1])
	f.Add([]byte{255})
	f.Fuzz(func(t *testing.T, bundle []byte) {
		var again []byte
		rest := bytes.Clone(bundle)
		for len(rest) > 0 {
			entry, behind, err := CutBundled(rest)
			if err != nil {
				break
			}
			if len(behind) >= len(rest) {
				t.Fatal("it does not get shorter")
			}
			if again, err = AppendBundled(again, entry); err != nil {
				t.Fatal(err)
			}
			rest = behind
		}
		if !bytes.Equal(append(again, rest...), bundle) {
			t.Error("cut into other bytes")
		}
	})
}

// FuzzLink: what an entry shows must not depend on the entry that the same Link has read before, though the quick way of reading a header expects the log's name
// from there. And a Verifier says the same of links that were read beforehand as of entries.
func FuzzLink(f *testing.F) {
	entries := newLog(f, testLog, 12).entries
	for i := range entries[1:] {
		f.Add(entries[i].entry, entries[i+1].entry)
	}
	f.Add(entries[1].entry, newLog(f, "agent.events/30", 4).entries[1].entry)
	f.Add(entries[1].entry, []byte("x"))
	f.Fuzz(func(t *testing.T, before, entry []byte) {
		leaf := LeafHash(entry)
		var used, fresh Link
		used.Read(before, LeafHash(before))
		used.Read(entry, leaf)
		fresh.Read(entry, leaf)
		if (used.malformed == nil) != (fresh.malformed == nil) || (used.contradiction == nil) != (fresh.contradiction == nil) {
			t.Fatalf("%v and %v; anew %v and %v", used.malformed, used.contradiction, fresh.malformed, fresh.contradiction)
		}
		if fresh.malformed == nil && (used.header != fresh.header || fresh.contradiction == nil && used.head != fresh.head) {
			t.Fatalf("%+v and %+v; anew %+v and %+v", used.header, used.head, fresh.header, fresh.head)
		}
		var h Header
		if _, err := ParseHeader(entry, &h); (err == nil) != (fresh.malformed == nil) || err == nil && h != fresh.header {
			t.Fatalf("ParseHeader says %+v, %v; a link %+v, %v", h, err, fresh.header, fresh.malformed)
		}
		if head, err := HeadOf(before); err == nil {
			checked, followed := NewVerifierAt(head), NewVerifierAt(head)
			errChecked, errFollowed := checked.Check(head.Size, entry, leaf), followed.Follow(&used)
			if (errChecked == nil) != (errFollowed == nil) || checked.Head() != followed.Head() {
				t.Fatalf("checked: %v, %+v; followed: %v, %+v", errChecked, checked.Head(), errFollowed, followed.Head())
			}
		}
	})
}
