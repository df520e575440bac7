package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// PersonLog is a log that has entries of a person.
type PersonLog struct {
	Log     string
	Entries uint64
	Last    uint64 // seq of the last one
}

// ofPerson is the condition for the events of a subject: who acted in them, or whose data was touched.
const ofPerson = "kind = 'event' AND (subject = {subject:UUID} OR has(data_subjects, {subject:UUID}))"

// PersonLogs returns where the events of a subject are, by log. It reads two columns of every row.
func (s *Store) PersonLogs(ctx context.Context, subject gdpr.SubjectID) ([]PersonLog, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	var (
		log           proto.ColStr
		entries, last proto.ColUInt64
		list          []PersonLog
	)
	sql := "SELECT CAST(log, 'String') AS log_name, uniqExact(seq) AS entries, max(seq) AS last FROM " + s.events +
		" WHERE " + ofPerson + " GROUP BY log ORDER BY log_name FORMAT Native"
	results := proto.Results{{Name: "log_name", Data: &log}, {Name: "entries", Data: &entries}, {Name: "last", Data: &last}}
	err := s.read(ctx, func(at *server) error {
		list = list[:0]
		return at.readNative(ctx, sql, s.readParams().with(params{"param_subject": subject.String()}), results, func(rows int) error {
			for i := range rows {
				list = append(list, PersonLog{Log: log.Row(i), Entries: entries[i], Last: last[i]})
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("look for the logs of a subject: %w", err)
	}
	return list, nil
}

const (
	// personPageRows and personPageBytes bound what PersonEntries returns, beyond its last entry.
	personPageRows  = 512
	personPageBytes = 8 << 20
)

// errPageFull ends the reading of a page.
var errPageFull = errors.New("the page is full")

// PersonEntries returns the next events of a subject in a log, ordered, from seq from on and below behind: a few hundred of them, or some megabytes, or none if there
// are no more. Reading on behind the last of them, again and again, reads every entry of the log once.
func (s *Store) PersonEntries(ctx context.Context, log string, subject gdpr.SubjectID, from, behind uint64) ([]Found, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	sql := "SELECT seq, entry, content FROM " + s.events + " WHERE log = {log:String} AND seq >= {first:UInt64} AND seq < {behind:UInt64} AND " + ofPerson +
		" ORDER BY log, seq LIMIT " + strconv.Itoa(personPageRows) + " FORMAT Native"
	p := s.scanParams().with(between(log, from, behind)).with(params{"param_subject": subject.String()})
	var page []Found
	err := s.read(ctx, func(at *server) error {
		var (
			seq            proto.ColUInt64
			entry, content bytesColumn
			size           int
		)
		page = page[:0]
		results := proto.Results{{Name: "seq", Data: &seq}, {Name: "entry", Data: &entry}, {Name: "content", Data: &content}}
		err := at.readNative(ctx, sql, p, results, func(rows int) error {
			for i := range rows {
				if size >= personPageBytes {
					return errorOf{errPageFull}
				}
				if len(page) > 0 && page[len(page)-1].Seq == seq[i] {
					continue // doubled; the proof of the first will tell whether it is the right one
				}
				one := Found{Log: log, Seq: seq[i], Entry: bytes.Clone(entry.row(i))}
				if ciphertext := content.row(i); len(ciphertext) > 0 {
					one.Content = bytes.Clone(ciphertext)
				}
				size += len(one.Entry) + len(one.Content)
				page = append(page, one)
			}
			return nil
		})
		if err == (errorOf{errPageFull}) { //nolint:errorlint // readNative hands it through as it is
			return nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the events of a subject in %s: %w", log, err)
	}
	return page, nil
}

// TilesAt returns the full tiles of one level at some places, ordered; those that are not there are absent. Different tiles at one place show.
func (s *Store) TilesAt(ctx context.Context, log string, level int, indexes []uint64) ([]StoredTile, error) {
	sql := "SELECT DISTINCT tile, hashes, root FROM " + s.tiles + " WHERE log = {log:String} AND level = {level:UInt8} AND tile IN {tiles:Array(UInt64)} ORDER BY tile FORMAT Native"
	list := []byte{'['}
	for i, index := range indexes {
		if i > 0 {
			list = append(list, ',')
		}
		list = strconv.AppendUint(list, index, 10)
	}
	p := params{"param_log": paramText(log), "param_level": strconv.Itoa(level), "param_tiles": string(append(list, ']'))}
	tiles, err := s.storedTiles(ctx, sql, level, p)
	if err != nil {
		return nil, fmt.Errorf("read tiles of %s: %w", log, err)
	}
	return tiles, nil
}
