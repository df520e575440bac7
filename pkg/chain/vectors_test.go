package chain

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// The vectors are for other implementations, so they are changed on purpose only: go test ./pkg/chain -run Vectors -update
var update = flag.Bool("update", false, "write schemas/vectors/entries and schemas/vectors/tree anew")

const vectorFolder = "../../schemas/vectors/entries"

type entryVector struct {
	Name  string `json:"name"`
	Log   string `json:"log"`
	Seq   uint64 `json:"seq"`
	Kind  string `json:"kind"`
	Next  int64  `json:"next"`
	Leaf  string `json:"leaf"`
	Entry string `json:"entry"`
}

type tokenVector struct {
	Name    string `json:"name"`
	Log     string `json:"log"`
	Prev    string `json:"prev"`
	Attempt uint32 `json:"attempt"`
	Token   string `json:"token"`
}

type refusedVector struct {
	Name  string `json:"name"`
	Entry string `json:"entry"`
}

// TestEntryVectors checks two logs entry by entry; the leaf hashes also with another implementation of RFC 6962, that of the Go module mirror.
func TestEntryVectors(t *testing.T) {
	const file = "entries.json"
	if *update {
		names := []string{"open entry", "event with the usual members", "event with every member", "rejected record", "change of epoch", "event without a user",
			"event after a change of epoch", "event once more", "rejected record once more", "system record, kept as its author wrote it", "close entry"}
		b := newLog(t, testLog, len(names)-1)
		b.control(t, &Control{Op: OpClose, NextEpoch: 202612, Successor: "agent.events/3.1"})
		successor := &logBuilder{head: EmptyHead("agent.events/3.1")}
		successor.control(t, &Control{Op: OpOpen, NextEpoch: 202612, Deployment: "audit.example.com/prod", Topic: "agent.events", Partition: 3, FirstOffset: 30,
			Predecessor: &Predecessor{Log: testLog, Size: b.head.Size, Head: b.head.Leaf}})
		successor.append(t, KindEvent, Source{Offset: 35, Next: 36, TimeMillis: ClampMillis(1 << 62)}, []byte(systemEventBody))
		names = append(names, "open entry of a successor", "event after a gap of offsets, with a time beyond the year 9999")
		var vectors []entryVector
		for i, e := range append(b.entries, successor.entries...) {
			var h Header
			if _, err := ParseHeader(e.entry, &h); err != nil {
				t.Fatal(err)
			}
			vectors = append(vectors, entryVector{Name: names[i], Log: h.Log, Seq: h.Seq, Kind: h.Kind.String(), Next: h.Source.Next, Leaf: e.leaf.String(), Entry: string(e.entry)})
		}
		writeVectors(t, file, vectors)
	}
	var vectors []entryVector
	readVectors(t, file, &vectors)
	verifiers := map[string]*Verifier{}
	for _, v := range vectors {
		entry := []byte(v.Entry)
		if verifiers[v.Log] == nil {
			verifiers[v.Log] = NewVerifier(v.Log)
		}
		if err := verifiers[v.Log].Check(v.Seq, entry, parseHash(t, v.Leaf)); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		if other := Hash(tlog.RecordHash(entry)); other.String() != v.Leaf {
			t.Errorf("%s: tlog.RecordHash gives %s", v.Name, other)
		}
		var e Entry
		if err := ParseEntry(entry, &e); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		if e.Header.Kind.String() != v.Kind || e.Header.Source.Next != v.Next {
			t.Errorf("%s: read as %+v", v.Name, e.Header)
		}
	}
}

func TestTokenVectors(t *testing.T) {
	const file = "tokens.json"
	if *update {
		head := newLog(t, testLog, 4).head
		var vectors []tokenVector
		add := func(name string, h Head, attempt uint32) {
			vectors = append(vectors, tokenVector{Name: name, Log: h.Log, Prev: h.Leaf.String(), Attempt: attempt, Token: h.Token(attempt)})
		}
		add("first insert into a log", EmptyHead(testLog), 0)
		add("first insert into a successor", EmptyHead("agent.events/3.1"), 0)
		add("insert behind an entry", head, 0)
		add("the same after a burned token", head, 1)
		add("all bytes of attempt count", head, 1<<24+1)
		writeVectors(t, file, vectors)
	}
	var vectors []tokenVector
	readVectors(t, file, &vectors)
	for _, v := range vectors {
		if got := (Head{Log: v.Log, Leaf: parseHash(t, v.Prev)}).Token(v.Attempt); got != v.Token {
			t.Errorf("%s: token %s", v.Name, got)
		}
	}
}

// TestRefusedVectors: entries that mean the same as a good one to a lenient reader, or that contradict themselves.
func TestRefusedVectors(t *testing.T) {
	const file = "refused.json"
	if *update {
		b := newLog(t, testLog, 10)
		var vectors []refusedVector
		add := func(name string, seq int, old, replacement string) {
			changed := strings.Replace(string(b.entries[seq].entry), old, replacement, 1)
			if changed == string(b.entries[seq].entry) {
				t.Fatalf("%q does not occur", old)
			}
			vectors = append(vectors, refusedVector{Name: name, Entry: changed})
		}
		add("white space", 1, `{"v":1,`, `{"v":1, `)
		add("another order of members", 1, `"offset":17,"next":18`, `"next":18,"offset":17`)
		add("leading zero", 1, `"seq":1,`, `"seq":01,`)
		add("seq beyond 2^63-1", 1, `"seq":1,`, `"seq":9223372036854775808,`)
		add("hash in upper case", 1, `"prev":"`+b.entries[0].leaf.String(), `"prev":"`+strings.ToUpper(b.entries[0].leaf.String()))
		add("a day that does not exist", 1, "2026-11-20T", "2026-11-31T")
		add("time with milliseconds only", 1, ".123457Z", ".123Z")
		add("time with an offset", 1, ".123457Z", ".123457+00:00")
		add("month 13", 1, `"epoch":202611`, `"epoch":202613`)
		add("log with an escape", 1, `agent.events/3`, `agent.events\/3`)
		add("src of a control entry in an event", 1, `"offset":17,"next":18,"time":"2026-11-20T21:14:05.017Z"`, `"next":18`)
		add("unknown kind", 1, `"kind":"event"`, `"kind":"note"`)
		add("event id is not the first member of event", 1, `"event":{`, `"event":{"a":1,`)
		add("event id in upper case", 1, `0193492e`, `0193492E`)
		add("key repeated within event", 1, `"version":"1.4"`, `"id":"other"`)
		add("key repeated in another spelling", 1, `"version":"1.4"`, `"\u0069d":"other"`)
		add("member behind the last one", 1, `}}`, `},"x":1}`)
		add("subject in upper case", 1, `018f2a4c`, `018F2A4C`)
		add("members of the body in another order", 2, `"threat":"high",`, ``)
		vectors[len(vectors)-1].Entry = strings.Replace(vectors[len(vectors)-1].Entry, `"findings":`, `"threat":"high","findings":`, 1)
		add("unknown threat", 2, `"high"`, `"extreme"`)
		add("reason with an escape that is not needed", 3, `is required`, `is\u0020required`)
		add("open names another partition than the log", 0, `"partition":3`, `"partition":4`)
		add("open entry in an epoch", 0, `"epoch":0`, `"epoch":202611`)
		add("control in place of open", 0, `"op":"open"`, `"op":"epoch"`)
		add("earlier epoch announced", 4, `"next_epoch":202612`, `"next_epoch":202610`)
		add("signature without padding", 9, `cw==`, `cw`)
		writeVectors(t, file, vectors)
	}
	var vectors []refusedVector
	readVectors(t, file, &vectors)
	for _, v := range vectors {
		errParse := ParseEntry([]byte(v.Entry), new(Entry))
		_, errHead := HeadOf([]byte(v.Entry))
		if errParse == nil && errHead == nil {
			t.Errorf("%s: accepted", v.Name)
		}
	}
}

func parseHash(t *testing.T, text string) (h Hash) {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != HashBytes {
		t.Fatalf("hash %q: %v", text, err)
	}
	return Hash(raw)
}

func readVectors(t *testing.T, file string, vectors any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(vectorFolder, file))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, vectors); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func writeVectors(t *testing.T, file string, vectors any) {
	t.Helper()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(vectors); err != nil {
		t.Fatal(err)
	}
	lines := strings.ReplaceAll(text.String(), `},{"name"`, "},\n{\"name\"")
	if err := os.WriteFile(filepath.Join(vectorFolder, file), []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
}
