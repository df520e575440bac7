package store

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Filter selects entries of kinds event and system. Zero fields do not restrict.
type Filter struct {
	EventID       [16]byte
	Tenant        string
	Subjects      []gdpr.SubjectID // who acted
	DataSubjects  []gdpr.SubjectID // whose data was touched; with Subjects: either
	SessionTokens []string         // as they stand in the column session_id
	Since, Until  time.Time        // of the event's time, Until excluded
	Type          string
	Limit         int // at most this many, the earliest; 1 to MaxFound
	// WithoutContent leaves out the ciphertexts, which may be larger than everything else by far.
	WithoutContent bool
}

// Found is one entry with its ciphertext (nil if it has no content).
type Found struct {
	Log     string
	Seq     uint64
	Entry   []byte
	Content []byte
}

// where returns the conditions of the filter and their parameters.
func (f *Filter) where() (string, params) {
	conditions, p := []string{"kind IN ('event', 'system')"}, params{}
	add := func(condition, name, value string) {
		conditions = append(conditions, condition)
		p["param_"+name] = value
	}
	if f.EventID != ([16]byte{}) {
		add("event_id = {event_id:UUID}", "event_id", uuid.UUID(f.EventID).String())
	}
	if f.Tenant != "" {
		add("tenant = {tenant:String}", "tenant", paramText(f.Tenant))
	}
	if f.Type != "" {
		add("type = {type:String}", "type", paramText(f.Type))
	}
	if len(f.SessionTokens) > 0 {
		add("session_id IN {sessions:Array(String)}", "sessions", paramTexts(f.SessionTokens))
	}
	if !f.Since.IsZero() {
		add("time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')", "since", strconv.FormatInt(f.Since.UnixMicro(), 10))
	}
	if !f.Until.IsZero() {
		add("time < fromUnixTimestamp64Micro({until:Int64}, 'UTC')", "until", strconv.FormatInt(f.Until.UnixMicro(), 10))
	}
	var who []string
	if len(f.Subjects) > 0 {
		who = append(who, "subject IN {subjects:Array(UUID)}")
		p["param_subjects"] = paramTexts(subjectTexts(f.Subjects))
	}
	if len(f.DataSubjects) > 0 {
		who = append(who, "hasAny(data_subjects, {data_subjects:Array(UUID)})")
		p["param_data_subjects"] = paramTexts(subjectTexts(f.DataSubjects))
	}
	if len(who) > 0 {
		conditions = append(conditions, "("+strings.Join(who, " OR ")+")")
	}
	return strings.Join(conditions, " AND "), p
}

func subjectTexts(ids []gdpr.SubjectID) []string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
	}
	return texts
}

// FindEvents returns the entries that match the filter, ordered by time.
func (s *Store) FindEvents(ctx context.Context, f Filter) ([]Found, error) {
	if f.Limit < 1 || f.Limit > MaxFound {
		return nil, fmt.Errorf("find events: limit %d must be 1 to %d", f.Limit, MaxFound)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	where, p := f.where()
	column := "content"
	if f.WithoutContent {
		column = "'' AS content"
	}
	sql := "SELECT CAST(log, 'String') AS log_name, seq, entry, " + column + " FROM " + s.events +
		" WHERE " + where + " ORDER BY time, log, seq LIMIT " + strconv.Itoa(f.Limit) + " FORMAT Native"
	var (
		log            proto.ColStr
		seq            proto.ColUInt64
		entry, content bytesColumn
		found          []Found
	)
	results := proto.Results{{Name: "log_name", Data: &log}, {Name: "seq", Data: &seq}, {Name: "entry", Data: &entry}, {Name: "content", Data: &content}}
	err := s.read(ctx, func(at *server) error {
		found = found[:0]
		return at.readNative(ctx, sql, s.readParams().with(p), results, func(rows int) error {
			for i := range rows {
				one := Found{Log: log.Row(i), Seq: seq[i], Entry: bytes.Clone(entry.row(i))}
				if ciphertext := content.row(i); len(ciphertext) > 0 {
					one.Content = bytes.Clone(ciphertext)
				}
				found = append(found, one)
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("find events: %w", err)
	}
	return found, nil
}
