package anomaly

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// codec goes through the fields of a state in one direction or the other, so that what is written and what is read cannot differ. Numbers are uvarints,
// signed ones in zigzag, each in its only form.
type codec struct {
	data   []byte
	decode bool
	// version is the state's, of those from oldestState on.
	version byte
	err     error
}

func (x *codec) fail(err error) {
	if x.err == nil {
		x.err = err
	}
}

func (x *codec) u64(v *uint64, most uint64) {
	switch {
	case x.err != nil:
	case x.decode:
		n, rest, err := uvarint(x.data, most)
		if err != nil {
			x.fail(err)
			return
		}
		*v, x.data = n, rest
	default:
		x.data = binary.AppendUvarint(x.data, *v)
	}
}

func (x *codec) i64(v *int64) {
	u := uint64(*v)<<1 ^ uint64(*v>>63)
	x.u64(&u, math.MaxUint64)
	*v = int64(u>>1) ^ -int64(u&1)
}

// number is any of the smaller unsigned types.
func number[T uint8 | uint16 | uint32](x *codec, v *T, most T) {
	u := uint64(*v)
	x.u64(&u, uint64(most))
	*v = T(u)
}

func (x *codec) i32(v *int32) {
	i := int64(*v)
	if x.i64(&i); i < math.MinInt32 || i > math.MaxInt32 {
		x.fail(fmt.Errorf("%d is no number of 32 bits", i))
		return
	}
	*v = int32(i)
}

func (x *codec) flag(v *bool) {
	u := uint64(0)
	if *v {
		u = 1
	}
	x.u64(&u, 1)
	*v = u == 1
}

// f32 takes finite numbers only: others would spread through all that is computed from them.
func (x *codec) f32(v *float32) {
	switch {
	case x.err != nil:
	case !x.decode:
		x.data = appendFloat32(x.data, *v)
	case len(x.data) < 4:
		x.fail(errShort)
	default:
		f := math.Float32frombits(binary.LittleEndian.Uint32(x.data))
		if !finite(float64(f)) {
			x.fail(fmt.Errorf("a number of %g", f))
			return
		}
		*v, x.data = f, x.data[4:]
	}
}

var errShort = errors.New("cut off")

func (x *codec) bytes(v []byte) {
	switch {
	case x.err != nil:
	case !x.decode:
		x.data = append(x.data, v...)
	case len(x.data) < len(v):
		x.fail(errShort)
	default:
		copy(v, x.data)
		x.data = x.data[len(v):]
	}
}

// text takes at most so many bytes.
func (x *codec) text(v *string, most int) {
	n := uint64(len(*v))
	x.u64(&n, uint64(most))
	switch {
	case x.err != nil:
	case !x.decode:
		x.data = append(x.data, *v...)
	case uint64(len(x.data)) < n:
		x.fail(errShort)
	default:
		*v, x.data = string(x.data[:n]), x.data[n:]
	}
}

// length goes through the length of a list; each element takes a byte or more, so what is left bounds it.
func (x *codec) length(n int, most int) int {
	u := uint64(n)
	x.u64(&u, uint64(most))
	if x.decode && u > uint64(len(x.data)) {
		x.fail(errShort)
	}
	if x.err != nil {
		return 0
	}
	return int(u)
}

// level is a byte where nothing was seen, which is most often so.
func (x *codec) level(l *Level) {
	number(x, &l.count, math.MaxUint32)
	if l.count == 0 || x.err != nil {
		return
	}
	x.f32(&l.location)
	x.f32(&l.scale)
	if l.scale < 0 {
		x.fail(fmt.Errorf("a scale of %g", l.scale))
	}
}

func (x *codec) tail(t *Tail) {
	switch {
	case x.err != nil:
	case !x.decode:
		x.data = t.Append(x.data)
	default:
		got, rest, err := ParseTail(x.data)
		if err != nil {
			x.fail(err)
			return
		}
		*t, x.data = got, rest
	}
}

var errInterval = errors.New("an interval that cannot be")

func (r *ref) fields(x *codec) {
	x.i64(&r.time)
	x.bytes(r.id[:])
	x.bytes(r.subject[:])
}

// maxSeriesBytes is far more than a Series takes.
const maxSeriesBytes = 1 << 16

// series is as long as it says, so that one of a version that is not known any more can be left out: it is learned anew, and all else stays.
func (x *codec) series(s **Series) {
	has := *s != nil
	if x.flag(&has); !has || x.err != nil {
		return
	}
	text := ""
	if !x.decode {
		text = string((*s).Append(nil))
	}
	x.text(&text, maxSeriesBytes)
	if !x.decode || x.err != nil || len(text) > 0 && text[0] != seriesVersion {
		return
	}
	got, rest, err := ParseSeries([]byte(text))
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes too many", len(rest))
	}
	if err != nil {
		x.fail(err)
		return
	}
	*s = got
}
