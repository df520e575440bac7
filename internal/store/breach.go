package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Scope selects events of people: those of which all is true. Zero fields do not restrict.
type Scope struct {
	Since, Until time.Time // of the event's time, Until excluded
	Tenant       string
	Agent        string // its id
	Tool         string
	Type         string
	SessionToken string // as it stands in the column session_id
	EventIDs     [][16]byte
}

// idsAtOnce bounds how many ids one statement has: a parameter is a part of the address, and servers take 128 KiB of one value.
const idsAtOnce = 1000

// parts are scopes for which together the same is true, with no more ids each than a statement takes.
func (c *Scope) parts() []Scope {
	if len(c.EventIDs) == 0 {
		return []Scope{*c}
	}
	var all []Scope
	for some := range slices.Chunk(c.EventIDs, idsAtOnce) {
		part := *c
		part.EventIDs = some
		all = append(all, part)
	}
	return all
}

// where returns the conditions of the scope and their parameters.
func (c *Scope) where() (string, params) {
	filter := Filter{Tenant: c.Tenant, Type: c.Type, Since: c.Since, Until: c.Until}
	if c.SessionToken != "" {
		filter.SessionTokens = []string{c.SessionToken}
	}
	condition, p := filter.where()
	conditions := []string{"kind = 'event'", condition}
	if c.Agent != "" {
		conditions, p["param_agent"] = append(conditions, "agent_id = {agent:String}"), paramText(c.Agent)
	}
	if c.Tool != "" {
		conditions, p["param_tool"] = append(conditions, "tool = {tool:String}"), paramText(c.Tool)
	}
	if len(c.EventIDs) > 0 {
		conditions, p["param_ids"] = append(conditions, "event_id IN {ids:Array(UUID)}"), paramTexts(uuidTexts(c.EventIDs))
	}
	return strings.Join(conditions, " AND "), p
}

func uuidTexts(ids [][16]byte) []string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = uuid.UUID(id).String()
	}
	return texts
}

// ScopeLog is a log that has entries in a scope.
type ScopeLog struct {
	Log         string
	Entries     uint64
	First, Last uint64 // seq
}

// ScopeLogs returns where the entries of a scope are, by log.
func (s *Store) ScopeLogs(ctx context.Context, scope Scope) ([]ScopeLog, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	var list []ScopeLog
	for _, part := range scope.parts() {
		found, err := s.scopeLogs(ctx, &part)
		if err != nil {
			return nil, fmt.Errorf("look for the entries of a breach: %w", err)
		}
		list = addLogs(list, found)
	}
	slices.SortFunc(list, func(a, b ScopeLog) int { return strings.Compare(a.Log, b.Log) })
	return list, nil
}

func addLogs(list, more []ScopeLog) []ScopeLog {
	for _, one := range more {
		i := slices.IndexFunc(list, func(l ScopeLog) bool { return l.Log == one.Log })
		if i < 0 {
			list = append(list, one)
			continue
		}
		list[i].Entries += one.Entries
		list[i].First, list[i].Last = min(list[i].First, one.First), max(list[i].Last, one.Last)
	}
	return list
}

func (s *Store) scopeLogs(ctx context.Context, part *Scope) (list []ScopeLog, err error) {
	where, p := part.where()
	sql := "SELECT CAST(log, 'String') AS log_name, count() AS entries, min(seq) AS first, max(seq) AS last FROM " + s.events +
		" WHERE " + where + " GROUP BY log_name ORDER BY log_name FORMAT Native"
	var (
		log                  proto.ColStr
		entries, first, last proto.ColUInt64
	)
	results := proto.Results{{Name: "log_name", Data: &log}, {Name: "entries", Data: &entries}, {Name: "first", Data: &first}, {Name: "last", Data: &last}}
	err = s.read(ctx, func(at *server) error {
		list = list[:0]
		return at.readNative(ctx, sql, s.readParams().with(p), results, func(rows int) error {
			for i := range rows {
				list = append(list, ScopeLog{Log: log.Row(i), Entries: entries[i], First: first[i], Last: last[i]})
			}
			return nil
		})
	})
	return list, err
}

// ScopeSubject is somebody whom entries of a scope are about.
type ScopeSubject struct {
	ID      gdpr.SubjectID
	Acted   uint64 // in how many of them this is the person who acted
	Touched uint64 // in how many of them this is one whose data was touched
}

// scopeMemory is what the server may hold of people before it goes on on its disk: some millions of them.
const scopeMemory = 256 << 20

// ScopeSubjects calls fn with everybody whom entries of a scope are about, once each, always in the same order. Memory here is bounded by a block, and by the
// ids that the scope lists. An error of fn ends it and is returned as it is.
func (s *Store) ScopeSubjects(ctx context.Context, scope Scope, fn func(ScopeSubject) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	parts := scope.parts()
	each := fn
	listed := map[gdpr.SubjectID]ScopeSubject{}
	if len(parts) > 1 { // the same person may be in several of them
		each = func(one ScopeSubject) error {
			all := listed[one.ID]
			listed[one.ID] = ScopeSubject{one.ID, all.Acted + one.Acted, all.Touched + one.Touched}
			return nil
		}
	}
	for i := range parts {
		if err := s.scopeSubjects(ctx, &parts[i], each); err != nil {
			return err
		}
	}
	ids := make([]gdpr.SubjectID, 0, len(listed))
	for id := range listed {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b gdpr.SubjectID) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range ids {
		if err := fn(listed[id]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) scopeSubjects(ctx context.Context, part *Scope, fn func(ScopeSubject) error) error {
	where, p := part.where()
	sql := "SELECT id, sum(id = subject) AS acted, sum(has(data_subjects, id)) AS touched FROM (SELECT subject, data_subjects, " +
		"arrayJoin(arrayDistinct(arrayPushBack(data_subjects, subject))) AS id FROM " + s.events + " WHERE " + where + ") " +
		"WHERE id != toUUID('00000000-0000-0000-0000-000000000000') GROUP BY id ORDER BY id FORMAT Native"
	var (
		id             proto.ColUUID
		acted, touched proto.ColUInt64
	)
	results := proto.Results{{Name: "id", Data: &id}, {Name: "acted", Data: &acted}, {Name: "touched", Data: &touched}}
	all := s.readParams().with(p).with(params{
		"max_bytes_before_external_group_by": strconv.Itoa(scopeMemory), "max_bytes_before_external_sort": strconv.Itoa(scopeMemory),
	})
	err := s.read(ctx, func(at *server) error {
		return at.readNative(ctx, sql, all, results, func(rows int) error {
			for i := range rows {
				if err := fn(ScopeSubject{gdpr.SubjectID(id[i]), acted[i], touched[i]}); err != nil {
					return errorOf{err}
				}
			}
			return nil
		})
	})
	if ours, ok := err.(errorOf); ok { //nolint:errorlint // read and readNative hand it through as it is
		return ours.err
	}
	if err != nil {
		return fmt.Errorf("look for the people of a breach: %w", err)
	}
	return nil
}

// MissingEvents returns those of some ids under which there is no event.
func (s *Store) MissingEvents(ctx context.Context, ids [][16]byte) ([][16]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	there := make(map[[16]byte]bool, len(ids))
	for _, part := range (&Scope{EventIDs: ids}).parts() {
		where, p := part.where()
		var id proto.ColUUID
		err := s.read(ctx, func(at *server) error {
			return at.readNative(ctx, "SELECT DISTINCT event_id FROM "+s.events+" WHERE "+where+" FORMAT Native", s.readParams().with(p),
				proto.Results{{Name: "event_id", Data: &id}}, func(rows int) error {
					for i := range rows {
						there[id[i]] = true
					}
					return nil
				})
		})
		if err != nil {
			return nil, fmt.Errorf("look for events: %w", err)
		}
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id [16]byte) bool { return there[id] }), nil
}

// CountRejected counts the records that came in a time and could not be read.
func (s *Store) CountRejected(ctx context.Context, since, until time.Time) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	var entries proto.ColUInt64
	sql := "SELECT count() AS entries FROM " + s.events + " WHERE kind = 'rejected' AND record_time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC') " +
		"AND record_time < fromUnixTimestamp64Micro({until:Int64}, 'UTC') FORMAT Native"
	p := s.readParams().with(params{"param_since": strconv.FormatInt(since.UnixMicro(), 10), "param_until": strconv.FormatInt(until.UnixMicro(), 10)})
	err := s.read(ctx, func(at *server) error {
		entries = entries[:0]
		return at.readNative(ctx, sql, p, proto.Results{{Name: "entries", Data: &entries}}, func(int) error { return nil })
	})
	if err == nil && entries.Rows() != 1 {
		err = fmt.Errorf("%d rows instead of one", entries.Rows())
	}
	if err != nil {
		return 0, fmt.Errorf("count rejected records: %w", err)
	}
	return entries.Row(0), nil
}
