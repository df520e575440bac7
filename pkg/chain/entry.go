package chain

import (
	"encoding/hex"
	"strconv"
)

// MaxEntryBytes bounds an entry: a C2SP tlog-tiles entry bundle prefixes each entry with a uint16.
const MaxEntryBytes = 1<<16 - 1

// NoOffset is Source.Offset of an entry that came from no Kafka record (a control entry).
const NoOffset = -1

// Source says where in Kafka an entry came from and where to go on behind it.
type Source struct {
	Offset     int64 // of the Kafka record; NoOffset in a control entry
	Next       int64 // the offset at which reading continues after this entry
	TimeMillis int64 // the record's timestamp, a claim of producer or broker; 0 in a control entry
}

// Header is the part of an entry that chaining decides. The rest, its body, is made before and does not depend on the place in the log.
type Header struct {
	Log          string // `<topic>/<partition>` or `<topic>/<partition>.<generation>`
	Seq          uint64 // dense from 0, at most 2^63-1
	Prev         Hash   // leaf hash of the entry before; zero in entry 0
	Epoch        uint32 // year*100+month, or 0 for entry 0
	SealedMicros int64  // when ingest made the entry, Unix microseconds; a claim, checked by nobody
	Source       Source
	Kind         Kind
}

const entryBeginning = `{"v":1,"log":"`

// AppendEntry appends the entry made of h and body to dst. body is the kind's own members without the braces around them, without a comma before
// or after (AppendControl, AppendRejected and AppendSystem make such bodies). It does not allocate if dst has room.
//
// Times beyond the years 0000 to 9999 are written as the nearest one that RFC 3339 can express, see ClampMillis.
func AppendEntry(dst []byte, h *Header, body []byte) []byte {
	dst = append(dst, entryBeginning...)
	dst = append(dst, h.Log...)
	dst = append(dst, `","seq":`...)
	dst = strconv.AppendUint(dst, h.Seq, 10)
	dst = append(dst, `,"prev":"`...)
	dst = hex.AppendEncode(dst, h.Prev[:])
	dst = append(dst, `","epoch":`...)
	dst = strconv.AppendUint(dst, uint64(h.Epoch), 10)
	dst = append(dst, `,"sealed":"`...)
	dst = appendMicros(dst, h.SealedMicros)
	dst = append(dst, `","src":{`...)
	if h.Kind == KindControl {
		dst = append(dst, `"next":`...)
		dst = strconv.AppendInt(dst, h.Source.Next, 10)
		dst = append(dst, `},"kind":"`...)
	} else {
		dst = append(dst, `"offset":`...)
		dst = strconv.AppendInt(dst, h.Source.Offset, 10)
		dst = append(dst, `,"next":`...)
		dst = strconv.AppendInt(dst, h.Source.Next, 10)
		dst = append(dst, `,"time":"`...)
		dst = appendMillis(dst, h.Source.TimeMillis)
		dst = append(dst, `"},"kind":"`...)
	}
	dst = append(dst, h.Kind.String()...)
	dst = append(dst, `",`...)
	dst = append(dst, body...)
	return append(dst, '}')
}

// ParseHeader takes an entry apart into its header and its body, which aliases entry. It accepts exactly what AppendEntry writes: appending the
// header and body it returns gives the same bytes. It does not look into the body (ParseEntry does) and does not allocate while h.Log already is
// the log's name. On an error h is in an unspecified state.
func ParseHeader(entry []byte, h *Header) (body []byte, err error) {
	return parseHeader(entry, h, "")
}

// parseHeader is ParseHeader where entries of one log follow each other: known, unless it is empty, is the name of a log.
func parseHeader(entry []byte, h *Header, known string) (body []byte, err error) {
	c := cursor{bytes: entry}
	if len(entry) > MaxEntryBytes {
		c.at = MaxEntryBytes
		return nil, c.malformed("length of entry")
	}
	if !c.literal(entryBeginning) {
		return nil, c.malformed("beginning of entry")
	}
	if known != "" && c.literal(known) && c.literal(`","seq":`) {
		h.Log = known
	} else {
		c.at = len(entryBeginning)
		log := c.name()
		if string(log) != h.Log {
			h.Log = string(log)
		}
		if _, _, _, err := ParseLog(h.Log); err != nil {
			return nil, c.malformed("log")
		}
		if !c.literal(`","seq":`) {
			return nil, c.malformed("log")
		}
	}
	seq, ok := c.number()
	if !ok {
		return nil, c.malformed("seq")
	}
	h.Seq = uint64(seq)
	if !c.literal(`,"prev":"`) || !c.hash(&h.Prev) || !c.literal(`"`) {
		return nil, c.malformed("prev")
	}
	if !c.literal(`,"epoch":`) {
		return nil, c.malformed("epoch")
	}
	epoch, ok := c.number()
	if !ok || epoch != 0 && (epoch > 999912 || !announceable(uint32(epoch))) {
		return nil, c.malformed("epoch")
	}
	h.Epoch = uint32(epoch)
	if !c.literal(`,"sealed":"`) {
		return nil, c.malformed("sealed")
	}
	if h.SealedMicros, ok = parseMicros(c.take(microsBytes)); !ok || !c.literal(`"`) {
		return nil, c.malformed("sealed")
	}
	fromRecord, err := parseSource(&c, &h.Source)
	if err != nil {
		return nil, err
	}
	if h.Kind, ok = parseKind(&c); !ok || fromRecord == (h.Kind == KindControl) {
		return nil, c.malformed("kind")
	}
	if !c.literal(`,`) || len(entry) == c.at || entry[len(entry)-1] != '}' {
		return nil, c.malformed("end of entry")
	}
	return entry[c.at : len(entry)-1], nil
}

// parseSource reads `,"src":{…}` and says whether it is that of a Kafka record.
func parseSource(c *cursor, s *Source) (fromRecord bool, err error) {
	if !c.literal(`,"src":{`) {
		return false, c.malformed("src")
	}
	s.Offset, s.TimeMillis = NoOffset, 0
	var ok bool
	if fromRecord = c.literal(`"offset":`); fromRecord {
		if s.Offset, ok = c.number(); !ok || !c.literal(`,`) {
			return false, c.malformed("src.offset")
		}
	}
	if !c.literal(`"next":`) {
		return false, c.malformed("src.next")
	}
	if s.Next, ok = c.number(); !ok {
		return false, c.malformed("src.next")
	}
	if fromRecord {
		if !c.literal(`,"time":"`) {
			return false, c.malformed("src.time")
		}
		if s.TimeMillis, ok = parseMillis(c.take(millisBytes)); !ok || !c.literal(`"`) {
			return false, c.malformed("src.time")
		}
	}
	if !c.literal(`}`) {
		return false, c.malformed("src")
	}
	return fromRecord, nil
}

func parseKind(c *cursor) (Kind, bool) {
	if !c.literal(`,"kind":"`) {
		return 0, false
	}
	for kind := KindEvent; kind <= KindControl; kind++ {
		if c.literal(kind.String()) {
			return kind, c.literal(`"`)
		}
	}
	return 0, false
}
