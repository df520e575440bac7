package alertview

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
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

// TestOfIncident: what a backtest finds looks like what stands in the log, and says that it stands in none.
func TestOfIncident(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	in := anomaly.Incident{
		ID: uuid.UUID{1}, Time: at, First: at, Last: at, Tenant: "acme", Kind: anomaly.EntitySubject, Subject: uuid.UUID{3}, Severity: anomaly.High, Title: "a test",
		Signals: []anomaly.Signal{{Name: "rate.cost", Expected: "1", Observed: "2", Score: 3, Since: at}}, Events: []uuid.UUID{{2}}, EventCount: 4, CostUSD: 5, Status: anomaly.Final,
	}
	signals, err := json.Marshal(in.Signals)
	if err != nil {
		t.Fatal(err)
	}
	want := Of(&store.Alert{
		ID: in.ID, Time: at, First: at, Last: at, Tenant: "acme", Kind: "subject", Subject: in.Subject, Severity: "high", Title: "a test", Signals: signals,
		Entries: [][16]byte{{2}}, EventCount: 4, CostUSD: 5, Status: "final",
	})
	got, err := OfIncident(&in)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
	text, err := json.Marshal(got)
	if err != nil || strings.Contains(string(text), `"log"`) || strings.Contains(string(text), `"seq"`) {
		t.Errorf("%s, %v", text, err)
	}
	if empty, err := OfIncident(&anomaly.Incident{}); err != nil || string(empty.Signals) != "[]" || empty.Entries == nil || empty.Subject != "" {
		t.Errorf("%+v, %v", empty, err)
	}
}
