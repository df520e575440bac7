package events

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// writer appends the members of a Record; it leaves out what is absent. The first fault stays in
// err.
type writer struct {
	buf []byte
	err error
}

func (w *writer) fail(f Field, reason string) {
	if w.err == nil {
		w.err = &Invalid{Field: f.String(), Reason: reason}
	}
}

// comma separates a member or element from the one before it.
func (w *writer) comma() {
	switch w.buf[len(w.buf)-1] {
	case '{', '[':
	default:
		w.buf = append(w.buf, ',')
	}
}

func (w *writer) name(f Field) {
	w.comma()
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, f.Name()...)
	w.buf = append(w.buf, '"', ':')
}

func (w *writer) open(f Field) {
	w.name(f)
	w.buf = append(w.buf, '{')
}

func (w *writer) close() { w.buf = append(w.buf, '}') }

// quoted appends a string of f. Replacing bytes that are not UTF-8 could make one identity of
// two, so they are a fault.
func (w *writer) quoted(f Field, s string) {
	if !utf8.ValidString(s) {
		w.fail(f, reasonUTF8)
	}
	w.buf = appendQuoted(w.buf, s)
}

func (w *writer) text(f Field, s string) {
	if s != "" {
		w.name(f)
		w.quoted(f, s)
	}
}

func (w *writer) id(f Field, id UUID) {
	if id != (UUID{}) {
		w.name(f)
		w.buf = append(w.buf, '"')
		w.buf = id.AppendTo(w.buf)
		w.buf = append(w.buf, '"')
	}
}

func (w *writer) time(f Field, t time.Time) {
	if !t.IsZero() {
		w.name(f)
		w.buf = append(w.buf, '"')
		w.buf = t.UTC().AppendFormat(w.buf, "2006-01-02T15:04:05.000000Z")
		w.buf = append(w.buf, '"')
	}
}

func (w *writer) count(f Field, n *uint64) {
	if n != nil {
		w.name(f)
		w.buf = strconv.AppendUint(w.buf, *n, 10)
	}
}

func (w *writer) cost(f Field, usd *float64) {
	switch {
	case usd == nil:
	case math.IsNaN(*usd) || math.IsInf(*usd, 0):
		w.fail(f, reasonNotFinite)
	case *usd == 0: // also -0, which the parser refuses
		w.name(f)
		w.buf = append(w.buf, '0')
	default:
		w.name(f)
		w.buf = strconv.AppendFloat(w.buf, *usd, 'g', -1, 64)
	}
}

// raw appends a JSON value as it is; the check of the whole record finds what is wrong with it.
func (w *writer) raw(f Field, value []byte) {
	if len(value) > 0 {
		w.name(f)
		w.buf = append(w.buf, value...)
	}
}

func (w *writer) subjects(f Field, ids []string) {
	if len(ids) == 0 {
		return
	}
	w.name(f)
	w.buf = append(w.buf, '[')
	for _, id := range ids {
		w.comma()
		w.quoted(f, id)
	}
	w.buf = append(w.buf, ']')
}

func (w *writer) attributes(f Field, m map[string]string) {
	if len(m) == 0 {
		return
	}
	w.open(f)
	for _, key := range slices.Sorted(maps.Keys(m)) {
		w.comma()
		w.quoted(f, key)
		w.buf = append(w.buf, ':')
		w.quoted(f, m[key])
	}
	w.close()
}
