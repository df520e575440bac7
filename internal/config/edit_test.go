package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEditKeepsWhatItDoesNotChange(t *testing.T) {
	file := write(t, `# mine
deployment: old # a name
kafka:
  # ask these
  brokers: [a:1]
log:
`)
	text, err := Edit(file, map[string]string{"deployment": "new", "kafka.partitions": "8", "kafka.brokers": "c:1,d:2", "log.level": "debug", "http.exporter": "127.0.0.1:80", "detector.threshold": "2.5"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# mine", "deployment: new # a name", "# ask these", "brokers: [\"c:1\", \"d:2\"]", "partitions: 8", "level: debug", "threshold: 2.5"} {
		if !strings.Contains(strings.ReplaceAll(string(text), "'", `"`), strings.ReplaceAll(want, "'", `"`)) &&
			!strings.Contains(string(text), strings.ReplaceAll(want, `"`, "")) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Sources{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if c.Deployment != "new" || c.Kafka.Partitions != 8 || len(c.Kafka.Brokers) != 2 || c.Log.Level != "debug" || c.HTTP.Exporter != "127.0.0.1:80" || c.Detector.Threshold != 2.5 {
		t.Errorf("got %+v", c)
	}
}

func TestEditMakesAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new.yaml")
	text, err := Edit(file, map[string]string{"ingest.batch.max_rows": "5"})
	if err != nil || string(text) != "ingest:\n  batch:\n    max_rows: 5\n" {
		t.Errorf("got %q, %v", text, err)
	}
	if keys, err := KeysIn(file); err != nil || len(keys) != 0 {
		t.Errorf("keys %v, %v of a file that is not there", keys, err)
	}
}

func TestEditRefusesToReplaceAValueByASection(t *testing.T) {
	if _, err := Edit(write(t, "kafka: yes\n"), map[string]string{"kafka.partitions": "1"}); err == nil || !strings.Contains(err.Error(), "kafka.partitions") {
		t.Errorf("got %v", err)
	}
}
