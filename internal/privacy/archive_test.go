package privacy

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/archive"
	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/reveal"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

func unzip(t *testing.T, text []byte) map[string][]byte {
	t.Helper()
	in, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range in.File {
		opened, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(opened); err != nil {
			t.Fatal(err)
		}
		if err := opened.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// checkArchive checks that an archive has what it says it has: digests, the same events in both forms, and a good proof for each. It returns the events.
func checkArchive(t *testing.T, text []byte) (map[string][]byte, []reveal.Event) {
	t.Helper()
	files := unzip(t, text)
	var m archive.Manifest
	if err := json.Unmarshal(files["manifest.json"], &m); err != nil {
		t.Fatal(err)
	}
	for _, f := range m.Files {
		if sum := sha256.Sum256(files[f.Name]); hex.EncodeToString(sum[:]) != f.SHA256 || int64(len(files[f.Name])) != f.Bytes {
			t.Errorf("%s is not what the manifest says", f.Name)
		}
	}
	if len(files) != len(m.Files)+1 {
		t.Errorf("%d files, %d in the manifest", len(files), len(m.Files))
	}
	var events []reveal.Event
	for line := range bytes.Lines(files["events.jsonl"]) {
		var e reveal.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	if m.Events != uint64(len(events)) {
		t.Errorf("%d events, %d in the manifest", len(events), m.Events)
	}
	checkTable(t, files["events.csv"], events)
	known, err := logkeys.Verifiers(strings.Fields(string(files["keys.txt"])))
	if err != nil {
		t.Fatal(err)
	}
	proved := map[string][]byte{}
	for _, log := range m.Logs {
		proofs, err := chain.SplitProofs(files["proofs/"+log.Log+".tlog-proof"])
		if err != nil || uint64(len(proofs)) != log.Events {
			t.Fatalf("%d proofs of %s, want %d: %v", len(proofs), log.Log, log.Events, err)
		}
		for _, p := range proofs {
			proof, err := chain.OpenProof(p, known)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(proof.Signed, files["checkpoints/"+log.Log]) {
				t.Errorf("a proof of %s leads to another checkpoint", log.Log)
			}
			proved[fmt.Sprint(proof.Header.Log, proof.Header.Seq)] = proof.Entry
		}
	}
	for _, e := range events {
		var entry chain.Entry
		if err := chain.ParseEntry(proved[fmt.Sprint(e.Log, e.Seq)], &entry); err != nil {
			t.Fatalf("the proof of an event: %v", err)
		}
		var same bytes.Buffer
		if err := json.Compact(&same, entry.Event); err != nil || same.String() != string(e.Public) {
			t.Errorf("the event is not what is proved: %s, %s", e.Public, entry.Event)
		}
	}
	return files, events
}

// checkTable checks that the table has the same as the lines, and nothing that a spreadsheet runs.
func checkTable(t *testing.T, table []byte, events []reveal.Event) {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	if err != nil || len(rows) != len(events)+1 {
		t.Fatalf("%d rows of %d events, %v", len(rows), len(events), err)
	}
	for i, row := range rows[1:] {
		cell := map[string]string{}
		for j, name := range rows[0] {
			cell[name] = row[j]
			for part := range strings.FieldsFuncSeq(row[j], func(c rune) bool { return c == ';' || c == '\t' || c == '\n' || c == '\r' }) {
				if strings.ContainsAny(strings.TrimLeft(part, ` "'`)[:min(1, len(strings.TrimLeft(part, ` "'`)))], "=+-@") && !strings.HasPrefix(strings.TrimLeft(part, ` "`), "'") {
					t.Errorf("a spreadsheet would run %q", row[j])
				}
			}
		}
		e := events[i]
		var public, content any
		if err := json.Unmarshal([]byte(cell["event"]), &public); err != nil {
			t.Fatal(err)
		}
		if cell["content"] != "" {
			if err := json.Unmarshal([]byte(cell["content"]), &content); err != nil {
				t.Fatal(err)
			}
		}
		plain := strings.NewReplacer("'", "")
		if cell["log"] != e.Log || cell["seq"] != fmt.Sprint(e.Seq) || cell["event_id"] != e.EventID || cell["time"] != e.Time || cell["type"] != e.Type ||
			plain.Replace(cell["user"]) != plain.Replace(e.User) || cell["subject"] != e.Subject || cell["data_subjects"] != strings.Join(e.DataSubjects, " ") ||
			cell["content_state"] != e.ContentState || !sameJSON(public, e.Public) || !sameJSON(content, e.Content) {
			t.Errorf("row %v is not the line %+v", row, e)
		}
	}
}

func sameJSON(value any, text []byte) bool {
	if len(text) == 0 {
		return value == nil
	}
	var other any
	if err := json.Unmarshal(text, &other); err != nil {
		return false
	}
	a, errA := json.Marshal(value)
	b, errB := json.Marshal(other)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}
