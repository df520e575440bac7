package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// KeyUse is how many entries have a ciphertext that a key is needed for.
type KeyUse struct {
	Entries uint64
	Shared  uint64 // other people's too
}

// CountKey counts the entries whose content needs a key. It reads one column of every row.
func (s *Store) CountKey(ctx context.Context, key gdpr.KeyID) (KeyUse, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	var entries, shared proto.ColUInt64
	sql := "SELECT count() AS entries, countIf(length(content_key) > 1) AS shared FROM " + s.events + " WHERE has(content_key, {key:UUID}) FORMAT Native"
	err := s.read(ctx, func(at *server) error {
		entries, shared = entries[:0], shared[:0]
		return at.readNative(ctx, sql, s.readParams().with(params{"param_key": key.String()}),
			proto.Results{{Name: "entries", Data: &entries}, {Name: "shared", Data: &shared}}, func(int) error { return nil })
	})
	if err == nil && entries.Rows() != 1 {
		err = fmt.Errorf("%d rows instead of one", entries.Rows())
	}
	if err != nil {
		return KeyUse{}, fmt.Errorf("count the entries of a key: %w", err)
	}
	return KeyUse{entries.Row(0), shared.Row(0)}, nil
}

// CountSealedSince counts the entries of a subject that were sealed at a time or later: who acted in them, or whose data was touched.
func (s *Store) CountSealedSince(ctx context.Context, subject gdpr.SubjectID, since time.Time) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	var entries proto.ColUInt64
	sql := "SELECT count() AS entries FROM " + s.events +
		" WHERE sealed_at >= fromUnixTimestamp64Micro({since:Int64}, 'UTC') AND (subject = {subject:UUID} OR has(data_subjects, {subject:UUID})) FORMAT Native"
	p := s.readParams().with(params{"param_since": strconv.FormatInt(since.UnixMicro(), 10), "param_subject": subject.String()})
	err := s.read(ctx, func(at *server) error {
		entries = entries[:0]
		return at.readNative(ctx, sql, p, proto.Results{{Name: "entries", Data: &entries}}, func(int) error { return nil })
	})
	if err == nil && entries.Rows() != 1 {
		err = fmt.Errorf("%d rows instead of one", entries.Rows())
	}
	if err != nil {
		return 0, fmt.Errorf("count the entries of a subject: %w", err)
	}
	return entries.Row(0), nil
}

// Involved returns those of some subjects who stand in an event together with another one: as the person who acted, or as one whose data was touched.
func (s *Store) Involved(ctx context.Context, with gdpr.SubjectID, some []gdpr.SubjectID) ([]gdpr.SubjectID, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	var found proto.ColUUID
	var ids []gdpr.SubjectID
	sql := "SELECT DISTINCT arrayJoin(arrayIntersect(arrayPushBack(data_subjects, subject), {some:Array(UUID)})) AS id FROM " + s.events +
		" WHERE subject = {with:UUID} OR has(data_subjects, {with:UUID}) FORMAT Native"
	p := s.readParams().with(params{"param_with": with.String(), "param_some": paramTexts(subjectTexts(some))})
	err := s.read(ctx, func(at *server) error {
		ids = ids[:0]
		return at.readNative(ctx, sql, p, proto.Results{{Name: "id", Data: &found}}, func(rows int) error {
			for i := range rows {
				ids = append(ids, gdpr.SubjectID(found[i]))
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("look for people in the same events: %w", err)
	}
	return ids, nil
}

// FirstInvolving returns the first entry of a part of a log that involves one of some subjects: as the person who acted, as one whose data was touched, or as one
// who approved; and which of them. None: nobody.
func (s *Store) FirstInvolving(ctx context.Context, part Part, some []gdpr.SubjectID) (seq uint64, who []gdpr.SubjectID, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	var first proto.ColUInt64
	var found proto.ColUUID
	sql := "WITH arrayIntersect(arrayConcat(data_subjects, [subject, approver]), {some:Array(UUID)}) AS involved SELECT seq, arrayJoin(involved) AS id FROM (SELECT seq, data_subjects, subject, approver FROM " + s.events +
		" WHERE log = {log:String} AND seq >= {from:UInt64} AND seq < {behind:UInt64} AND notEmpty(involved) ORDER BY seq LIMIT 1) FORMAT Native"
	p := s.readParams().with(params{
		"param_log": paramText(part.Log), "param_from": strconv.FormatUint(part.From, 10), "param_behind": strconv.FormatUint(part.Behind, 10),
		"param_some": paramTexts(subjectTexts(some)),
	})
	err = s.read(ctx, func(at *server) error {
		who = who[:0]
		return at.readNative(ctx, sql, p, proto.Results{{Name: "seq", Data: &first}, {Name: "id", Data: &found}}, func(rows int) error {
			for i := range rows {
				seq, who = first[i], append(who, gdpr.SubjectID(found[i]))
			}
			return nil
		})
	})
	if err != nil {
		return 0, nil, fmt.Errorf("look for people in a part of %s: %w", part.Log, err)
	}
	return seq, who, nil
}

// LatestSystemEntries calls fn with the system entries of a type, those first that were sealed last: at most limit of them, after skip others. entry is valid
// until fn returns.
func (s *Store) LatestSystemEntries(ctx context.Context, topic, recordType string, skip, limit int, fn func(entry []byte) error) error {
	return s.systemEntries(ctx, topic, recordType, " ORDER BY sealed_at DESC, log DESC, seq DESC LIMIT "+strconv.Itoa(limit)+" OFFSET "+strconv.Itoa(skip), fn)
}

// SystemEntries calls fn with the system entries of a type, in no order that matters. entry is valid until fn returns.
func (s *Store) SystemEntries(ctx context.Context, topic, recordType string, fn func(entry []byte) error) error {
	return s.systemEntries(ctx, topic, recordType, "", fn)
}

func (s *Store) systemEntries(ctx context.Context, topic, recordType, which string, fn func(entry []byte) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	sql := "SELECT entry FROM " + s.events + " WHERE startsWith(log, {topic:String}) AND kind = 'system' AND type = {type:String}" + which + " FORMAT Native"
	p := s.readParams().with(params{"param_topic": paramText(topic + "/"), "param_type": paramText(recordType)})
	err := s.read(ctx, func(at *server) error {
		var entry bytesColumn
		return at.readNative(ctx, sql, p, proto.Results{{Name: "entry", Data: &entry}}, func(rows int) error {
			for i := range rows {
				if err := fn(entry.row(i)); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("read system entries: %w", err)
	}
	return nil
}
