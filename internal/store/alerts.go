package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"
)

// MaxAlerts is how many alerts one call returns at most.
const MaxAlerts = 10_000

// AlertFilter selects alerts. Zero fields do not restrict.
type AlertFilter struct {
	ID           [16]byte
	Tenant       string
	Subject      [16]byte
	Since, Until time.Time // of the time at which they were noticed, Until excluded
	Limit        int       // at most this many, the latest; 1 to MaxAlerts
}

// Alert is a row of the view alerts: the latest revision of an incident that is sealed, and what people said about it.
type Alert struct {
	ID                                            [16]byte
	Revision                                      uint32
	Time, First, Last                             time.Time
	Tenant, Kind, Entity, Severity, Title, Status string
	Subject                                       [16]byte
	Signals                                       []byte // JSON, as the detector wrote it
	Entries                                       [][16]byte
	EventCount                                    uint64
	CostUSD                                       float64
	Summarised                                    bool
	Answer                                        string // the last order about it; empty: none
	AnswerUntil                                   time.Time
	AnswerBy                                      string
	Log                                           string
	Seq                                           uint64
}

func (f *AlertFilter) where() (string, params) {
	conditions, p := []string{"1"}, params{}
	add := func(condition, name, value string) {
		conditions = append(conditions, condition)
		p["param_"+name] = value
	}
	if f.ID != ([16]byte{}) {
		add("id = {id:UUID}", "id", uuid.UUID(f.ID).String())
	}
	if f.Tenant != "" {
		add("tenant = {tenant:String}", "tenant", paramText(f.Tenant))
	}
	if f.Subject != ([16]byte{}) {
		add("subject = {subject:UUID}", "subject", uuid.UUID(f.Subject).String())
	}
	if !f.Since.IsZero() {
		add("time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')", "since", strconv.FormatInt(f.Since.UnixMicro(), 10))
	}
	if !f.Until.IsZero() {
		add("time < fromUnixTimestamp64Micro({until:Int64}, 'UTC')", "until", strconv.FormatInt(f.Until.UnixMicro(), 10))
	}
	return strings.Join(conditions, " AND "), p
}

// Alerts returns the alerts that match the filter, the latest first.
func (s *Store) Alerts(ctx context.Context, f AlertFilter) ([]Alert, error) {
	if f.Limit < 1 || f.Limit > MaxAlerts {
		return nil, fmt.Errorf("read alerts: limit %d must be 1 to %d", f.Limit, MaxAlerts)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	where, p := f.where()
	sql := `SELECT id, revision, time, first, last, CAST(tenant, 'String') AS tenant_name, kind, subject, entity, severity, title, signals, entries, event_count, cost_usd,
		CAST(status, 'String') AS status_name, summarised, CAST(answer, 'String') AS answer_name, answer_until, answer_by, CAST(log, 'String') AS log_name, seq
		FROM ` + s.alerts + " WHERE " + where + " ORDER BY time DESC, id LIMIT " + strconv.Itoa(f.Limit) + " FORMAT Native"
	var (
		id, subject                                                        proto.ColUUID
		revision                                                           proto.ColUInt32
		tenant, kind, entity, severity, title, signals, status, answer, by proto.ColStr
		log                                                                proto.ColStr
		count, seq                                                         proto.ColUInt64
		cost                                                               proto.ColFloat64
		summarised                                                         proto.ColUInt8
		entries                                                            = proto.NewArray[uuid.UUID](new(proto.ColUUID))
		at, first, last, until                                             proto.ColDateTime64
		found                                                              []Alert
	)
	results := proto.Results{
		{Name: "id", Data: &id}, {Name: "revision", Data: &revision}, {Name: "time", Data: &at}, {Name: "first", Data: &first}, {Name: "last", Data: &last},
		{Name: "tenant_name", Data: &tenant}, {Name: "kind", Data: &kind}, {Name: "subject", Data: &subject}, {Name: "entity", Data: &entity},
		{Name: "severity", Data: &severity}, {Name: "title", Data: &title}, {Name: "signals", Data: &signals}, {Name: "entries", Data: entries},
		{Name: "event_count", Data: &count}, {Name: "cost_usd", Data: &cost}, {Name: "status_name", Data: &status}, {Name: "summarised", Data: &summarised},
		{Name: "answer_name", Data: &answer}, {Name: "answer_until", Data: &until}, {Name: "answer_by", Data: &by}, {Name: "log_name", Data: &log}, {Name: "seq", Data: &seq},
	}
	err := s.read(ctx, func(srv *server) error {
		found = found[:0]
		return srv.readNative(ctx, sql, s.readParams().with(p), results, func(rows int) error {
			for i := range rows {
				one := Alert{
					ID: id.Row(i), Revision: revision[i], Time: at.Row(i), First: first.Row(i), Last: last.Row(i), Tenant: tenant.Row(i), Kind: kind.Row(i),
					Subject: subject.Row(i), Entity: entity.Row(i), Severity: severity.Row(i), Title: title.Row(i), Signals: []byte(signals.Row(i)),
					EventCount: count[i], CostUSD: cost[i], Status: status.Row(i), Summarised: summarised[i] != 0, Answer: answer.Row(i), AnswerUntil: until.Row(i),
					AnswerBy: by.Row(i), Log: log.Row(i), Seq: seq[i],
				}
				for _, entry := range entries.Row(i) {
					one.Entries = append(one.Entries, entry)
				}
				found = append(found, one)
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read alerts: %w", err)
	}
	return found, nil
}
