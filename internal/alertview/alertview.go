// Package alertview has alerts as the command line and the API show them.
package alertview

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/alert"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// Alert is one alert.
type Alert struct {
	ID         string          `json:"id"`
	Time       time.Time       `json:"time"`
	Tenant     string          `json:"tenant"`
	Kind       string          `json:"kind"`
	Subject    string          `json:"subject,omitempty"`
	Entity     string          `json:"entity,omitempty"`
	Severity   string          `json:"severity"`
	Title      string          `json:"title"`
	Signals    json.RawMessage `json:"signals"`
	Entries    []string        `json:"entries"`
	EventCount uint64          `json:"event_count"`
	CostUSD    float64         `json:"cost_usd"`
	First      time.Time       `json:"first"`
	Last       time.Time       `json:"last"`
	Status     string          `json:"status"`
	Stage      string          `json:"stage"`
	AnsweredBy string          `json:"answered_by,omitempty"`
	Until      *time.Time      `json:"until,omitempty"`
	Summarised bool            `json:"summarised"`
	Log        string          `json:"log,omitempty"` // where it stands; absent: it was never said
	Seq        uint64          `json:"seq,omitempty"`
}

// Of returns a row of the view alerts as it is shown.
func Of(a *store.Alert) Alert {
	line := Alert{
		ID: uuid.UUID(a.ID).String(), Time: a.Time, Tenant: a.Tenant, Kind: a.Kind, Entity: a.Entity, Severity: a.Severity, Title: a.Title, Signals: a.Signals,
		Entries: []string{}, EventCount: a.EventCount, CostUSD: a.CostUSD, First: a.First, Last: a.Last, Status: a.Status, Stage: a.Status, AnsweredBy: a.AnswerBy,
		Summarised: a.Summarised, Log: a.Log, Seq: a.Seq,
	}
	if !json.Valid(a.Signals) {
		line.Signals = json.RawMessage("[]") // whoever writes to ClickHouse can put anything there
	}
	if a.Subject != ([16]byte{}) {
		line.Subject = uuid.UUID(a.Subject).String()
	}
	for _, id := range a.Entries {
		line.Entries = append(line.Entries, uuid.UUID(id).String())
	}
	if answer := alert.Verb(a.Answer); answer.Status() != "" {
		line.Status = answer.Status()
		if answer == alert.Snooze {
			line.Until = &a.AnswerUntil
		}
	}
	return line
}

// OfIncident returns an incident that stands in no log, such as one of a backtest, in the same form.
func OfIncident(in *anomaly.Incident) (Alert, error) {
	line := Alert{
		ID: in.ID.String(), Time: in.Time, Tenant: in.Tenant, Kind: string(in.Kind), Entity: in.Entity, Severity: in.Severity.String(), Title: in.Title, Entries: []string{},
		EventCount: in.EventCount, CostUSD: in.CostUSD, First: in.First, Last: in.Last, Status: string(in.Status), Stage: string(in.Status), Summarised: in.Summarised,
	}
	if in.Subject != uuid.Nil {
		line.Subject = in.Subject.String()
	}
	for _, id := range in.Events {
		line.Entries = append(line.Entries, id.String())
	}
	if len(in.Signals) == 0 {
		line.Signals = json.RawMessage("[]")
		return line, nil
	}
	var err error
	line.Signals, err = json.Marshal(in.Signals)
	return line, err
}
