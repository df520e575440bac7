package chain

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
	Seq          uint64 // dense from 0
	Prev         Hash   // leaf hash of the entry before; zero in entry 0
	Epoch        uint32 // year*100+month, or 0 for entry 0
	SealedMicros int64  // when ingest made the entry, Unix microseconds; a claim, checked by nobody
	Source       Source
	Kind         Kind
}

// AppendEntry appends the entry made of h and body to dst. body is the kind's own members without the braces around them, without a comma before
// or after (AppendControl, AppendRejected and AppendSystem make such bodies). It does not allocate if dst has room.
//
// Times beyond the years 0000 to 9999 are written as the nearest one that RFC 3339 can express, see ClampMillis.
func AppendEntry(dst []byte, h *Header, body []byte) []byte { return append(dst, body...) }

// ParseHeader takes an entry apart into its header and its body, which aliases entry. It accepts exactly what AppendEntry writes: appending the
// header and body it returns gives the same bytes. It does not look into the body (ParseEntry does) and does not allocate while h.Log already is
// the log's name. On an error h is in an unspecified state.
func ParseHeader(entry []byte, h *Header) (body []byte, err error) { return nil, nil }

// ClampMillis returns the Unix time in milliseconds that an entry can express and that is nearest to millis: a Kafka record may claim any int64,
// RFC 3339 ends with the year 9999.
func ClampMillis(millis int64) int64 { return millis }
