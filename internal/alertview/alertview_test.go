package alertview

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/store"
)

func TestOf(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	row := store.Alert{ID: [16]byte{1}, Time: at, Status: "final", Kind: "agent", Entity: "bot", Severity: "high", Signals: []byte(`[{"name":"rate.cost"}]`), Entries: [][16]byte{{2}}}
	line := Of(&row)
	if line.ID != "01000000-0000-0000-0000-000000000000" || line.Subject != "" || line.Status != "final" || line.Stage != "final" || line.Until != nil ||
		string(line.Signals) != string(row.Signals) || len(line.Entries) != 1 || line.Entries[0] != "02000000-0000-0000-0000-000000000000" {
		t.Errorf("%+v", line)
	}
	row.Subject = [16]byte{3}
	if line := Of(&row); line.Subject != "03000000-0000-0000-0000-000000000000" {
		t.Errorf("subject %q", line.Subject)
	}
	for answer, status := range map[string]string{"": "final", "acknowledge": "acknowledged", "snooze": "snoozed", "false_positive": "false_positive", "suppress": "final", "x": "final"} {
		row.Answer, row.AnswerUntil, row.AnswerBy = answer, at, "slack-1"
		line := Of(&row)
		if line.Status != status || line.Stage != "final" || (line.Until != nil) != (answer == "snooze") || line.AnsweredBy != "slack-1" {
			t.Errorf("%q: %+v", answer, line)
		}
	}
	// Whoever writes to ClickHouse can put anything there; what is printed stays JSON.
	for _, signals := range []string{"", "{", `[]]`, "\xff"} {
		row.Signals, row.Entries = []byte(signals), nil
		text, err := json.Marshal(Of(&row))
		if err != nil || !strings.Contains(string(text), `"signals":[],"entries":[]`) {
			t.Errorf("%q: %s, %v", signals, text, err)
		}
	}
}
