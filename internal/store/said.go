package store

import (
	"bytes"
	"context"
	"fmt"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"
)

// SystemPlace is where a system entry stands.
type SystemPlace struct {
	EventID [16]byte
	Log     string
	Seq     uint64
	Entry   []byte
}

// SystemPlaces returns where the system entries with some event ids stand, and not what a producer may have sent under the same id. An id that stands in the log
// twice comes twice. The entries' signatures are the caller's to check: whoever may write to ClickHouse could have put a row there.
func (s *Store) SystemPlaces(ctx context.Context, ids [][16]byte) ([]SystemPlace, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = uuid.UUID(id).String()
	}
	var (
		id     proto.ColUUID
		log    proto.ColStr
		seq    proto.ColUInt64
		entry  bytesColumn
		places []SystemPlace
	)
	sql := "SELECT event_id, CAST(log, 'String') AS log_name, seq, entry FROM " + s.events +
		" WHERE kind = 'system' AND event_id IN {ids:Array(UUID)} ORDER BY log, seq FORMAT Native"
	p := s.readParams().with(params{"param_ids": paramTexts(texts)})
	err := s.read(ctx, func(at *server) error {
		places = places[:0]
		return at.readNative(ctx, sql, p, proto.Results{{Name: "event_id", Data: &id}, {Name: "log_name", Data: &log}, {Name: "seq", Data: &seq}, {Name: "entry", Data: &entry}}, func(rows int) error {
			for i := range rows {
				places = append(places, SystemPlace{EventID: id[i], Log: log.Row(i), Seq: seq[i], Entry: bytes.Clone(entry.row(i))})
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("look for system entries: %w", err)
	}
	return places, nil
}
