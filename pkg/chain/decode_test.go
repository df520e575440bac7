package chain

import (
	"bytes"
	"strings"
	"testing"
)

func TestParseEntry(t *testing.T) {
	b := newLog(t, testLog, 12)
	var e Entry
	parse := func(seq int) {
		t.Helper()
		if err := ParseEntry(b.entries[seq].entry, &e); err != nil {
			t.Fatalf("seq %d: %v", seq, err)
		}
		if e.Header.Seq != uint64(seq) {
			t.Errorf("seq %d parsed as %d", seq, e.Header.Seq)
		}
	}
	parse(0)
	if e.Control == nil || e.Control.Op != OpOpen || e.Content != nil || e.Event != nil {
		t.Errorf("open entry: %+v", e)
	}
	parse(2)
	if !e.HasSubject || len(e.DataSubjects) != 2 || e.DataSubjects[1][15] != 2 || string(e.IP) != "15e90b0b312f573fc96f55cdbefb2ef5" ||
		strings.Join(e.Findings, " ") != "injection.instruction_override kafka.key_mismatch" || e.Threat != "high" || !bytes.HasPrefix(e.Content, []byte(`{"alg":`)) ||
		!bytes.HasPrefix(e.Event, []byte(`{"event_id"`)) || !bytes.HasSuffix(e.Event, []byte(`"acme"}`)) || e.EventID[15] != 0xa2 || e.Control != nil {
		t.Errorf("event entry: %+v", e)
	}
	parse(3)
	if e.Rejected != (Rejected{Field: "user_id", Reason: `missing: "user_id" is required`, Bytes: 312}) || e.Content == nil || e.HasSubject || e.Findings != nil {
		t.Errorf("rejected entry: %+v", e)
	}
	parse(5)
	if e.HasSubject || e.EventID[15] != 0xa3 || e.Content != nil {
		t.Errorf("event without a user: %+v", e)
	}
	parse(9)
	if e.Author != "exporter-1" || string(e.Signature) != strings.Repeat("s", signatureBytes) || e.EventID[15] != 0xa4 || !bytes.HasPrefix(e.Event, []byte(`{ "type"`)) {
		t.Errorf("system entry: %+v", e)
	}
}

func TestParseEntryRefuses(t *testing.T) {
	b := newLog(t, testLog, 12)
	f := func(seq int, old, replacement string) {
		t.Helper()
		text := string(b.entries[seq].entry)
		changed := strings.Replace(text, old, replacement, 1)
		if changed == text {
			t.Fatalf("seq %d: %q does not occur", seq, old)
		}
		if ParseEntry([]byte(changed), new(Entry)) == nil {
			t.Errorf("seq %d: accepted with %q instead of %q", seq, replacement, old)
		}
	}
	f(0, `"op":"open"`, `"op":"epoch"`)
	f(0, `"partition":3`, `"partition":4`)
	f(1, `"type":`, `"action":`)
	f(1, `"version":"1.4"`, `"id":"x"`)
	f(1, `"version":"1.4"`, "\"version\":\"\xff\"")
	f(1, `"input_tokens":812`, `"input_tokens":0812`)
	f(1, `"input_tokens":812`, `"input_tokens":NaN`)
	f(1, `}}`, `},"x":1}`)
	f(1, `}}`, `}`)
	f(2, `"threat":"high"`, `"threat":"huge"`)
	f(2, `"ip":"`, `"ip":"\x`)
	f(2, `"ip":"15e90b0b312f573fc96f55cdbefb2ef5"`, `"ip":7`)
	f(2, `"findings":["injection.instruction_override","kafka.key_mismatch"]`, `"findings":[]`)
	f(2, `"kafka.key_mismatch"`, `"kafka key"`)
	f(2, `"threat":"high",`, `"threat":"high","threat":"high",`)
	f(2, `"findings":`, `"threat":"high","findings":`)
	f(2, `"content":{`, `"content":[`)
	f(3, `"bytes":312`, `"bytes":-1`)
	f(3, `,"content":{`, `,"subject":{`)
	f(9, `"author":"exporter-1"`, `"author":"exporter 1"`)
	f(9, `"author":"exporter-1"`, `"author":""`)
	f(9, `"sig":"c`, `"sig":"!`)
	f(9, `"event":{`, `"event":[{`)
}

// FuzzParseEntry: what the full decoder accepts, the verifier's shallow one must accept as well, and the body's parts must make up the body.
func FuzzParseEntry(f *testing.F) {
	for _, e := range newLog(f, testLog, 12).entries {
		f.Add(e.entry)
	}
	f.Fuzz(func(t *testing.T, entry []byte) {
		var e Entry
		if ParseEntry(entry, &e) != nil {
			return
		}
		var h Header
		body, err := ParseHeader(entry, &h)
		if err != nil {
			t.Fatalf("ParseHeader refuses what ParseEntry accepts: %v", err)
		}
		if !bytes.Equal(AppendEntry(nil, &h, body), entry) {
			t.Fatal("accepted what AppendEntry does not write")
		}
		switch h.Kind {
		case KindSystem:
			if !bytes.Equal(AppendSystem(nil, e.Author, e.Signature, e.Event), body) {
				t.Fatal("accepted what AppendSystem does not write")
			}
		case KindRejected:
			again := AppendRejected(nil, &e.Rejected)
			if e.Content != nil {
				again = append(append(again, `,"content":`...), e.Content...)
			}
			if !bytes.Equal(again, body) {
				t.Fatal("accepted what AppendRejected does not write")
			}
		case KindControl:
			if !bytes.Equal(AppendControl(nil, e.Control), body) {
				t.Fatal("accepted what AppendControl does not write")
			}
		}
		if (h.Epoch == 0) != (h.Seq == 0) {
			return // of the log's rules, not of the entry's form
		}
		if _, err := HeadOf(entry); err != nil {
			t.Fatalf("HeadOf refuses what ParseEntry accepts: %v", err)
		}
	})
}
