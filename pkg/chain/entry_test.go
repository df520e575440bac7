package chain

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func drawLog(t *rapid.T) string {
	topic := rapid.StringMatching(`[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,30}`).Draw(t, "topic")
	return LogName(topic, rapid.IntRange(0, math.MaxInt32).Draw(t, "partition"), rapid.IntRange(0, math.MaxInt32).Draw(t, "generation"))
}

func drawHeader(t *rapid.T) Header {
	h := Header{
		Log:          drawLog(t),
		Seq:          rapid.Uint64Max(math.MaxInt64).Draw(t, "seq"),
		Prev:         Hash(rapid.SliceOfN(rapid.Byte(), HashBytes, HashBytes).Draw(t, "prev")),
		SealedMicros: clampMicros(rapid.Int64().Draw(t, "sealed")),
		Source:       Source{Offset: NoOffset, Next: rapid.Int64Min(0).Draw(t, "next")},
		Kind:         Kind(rapid.IntRange(int(KindEvent), int(KindControl)).Draw(t, "kind")),
	}
	if rapid.Bool().Draw(t, "has epoch") {
		h.Epoch = uint32(rapid.IntRange(1000, 9999).Draw(t, "year")*100 + rapid.IntRange(1, 12).Draw(t, "month"))
	}
	if h.Kind != KindControl {
		h.Source.Offset = rapid.Int64Min(0).Draw(t, "offset")
		h.Source.TimeMillis = ClampMillis(rapid.Int64().Draw(t, "time"))
	}
	return h
}

func TestEntryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawHeader(t)
		body := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "body")
		entry := AppendEntry(nil, &want, body)
		var got Header
		gotBody, err := ParseHeader(entry, &got)
		if err != nil {
			t.Fatalf("%v in %s", err, entry)
		}
		if got != want || !bytes.Equal(gotBody, body) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	})
}

func TestEntryText(t *testing.T) {
	h := Header{Log: "agent.events/3", Seq: 1842, Prev: Hash{0: 0xab, 31: 0x01}, Epoch: 202611, SealedMicros: 1795209245123456,
		Source: Source{Offset: 90211, Next: 90212, TimeMillis: 1795209244987}, Kind: KindEvent}
	const prev = "ab00000000000000000000000000000000000000000000000000000000000001"
	const want = `{"v":1,"log":"agent.events/3","seq":1842,"prev":"` + prev + `","epoch":202611,"sealed":"2026-11-20T21:14:05.123456Z",` +
		`"src":{"offset":90211,"next":90212,"time":"2026-11-20T21:14:04.987Z"},"kind":"event","x":1}`
	if got := AppendEntry(nil, &h, []byte(`"x":1`)); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	h.Kind, h.Source = KindControl, Source{Offset: NoOffset, Next: 90212}
	if got := AppendEntry([]byte("before"), &h, []byte(`"x":1`)); !strings.HasPrefix(string(got), "before{") || !strings.Contains(string(got), `,"src":{"next":90212},"kind":"control",`) {
		t.Errorf("control entry: %s", got)
	}
}

// TestParseHeaderRefuses changes one thing of a good entry at a time into another form of the same, or into nonsense.
func TestParseHeaderRefuses(t *testing.T) {
	good := string(newLog(t, "agent.events/3", 4).entries[1].entry)
	control := string(newLog(t, "agent.events/3", 4).entries[0].entry)
	f := func(text, old, new string) {
		t.Helper()
		changed := strings.Replace(text, old, new, 1)
		if changed == text {
			t.Fatalf("%q does not occur", old)
		}
		var h Header
		_, err := ParseHeader([]byte(changed), &h)
		var format *FormatError
		if !errors.As(err, &format) {
			t.Errorf("%q instead of %q: error %v", new, old, err)
		}
	}
	f(good, `{"v":1`, `{ "v":1`)
	f(good, `{"v":1`, `{"v":2`)
	f(good, `{"v":1,`, `{"V":1,`)
	f(good, `"agent.events/3"`, `"agent.events/03"`)
	f(good, `"agent.events/3"`, `"agent.events"`)
	f(good, `"agent.events/3"`, `"agent.events/3.0"`)
	f(good, `"agent.events/3"`, `"agent events/3"`)
	f(good, `"agent.events/3"`, `"agent.events\/3"`)
	f(good, `"agent.events/3"`, `"agent.events/4294967296"`)
	f(good, `"seq":1`, `"seq":01`)
	f(good, `"seq":1`, `"seq":1.0`)
	f(good, `"seq":1`, `"seq":-1`)
	f(good, `"seq":1`, `"seq":9223372036854775808`)
	f(good, `"seq":1`, `"seq":18446744073709551617`)
	f(good, `"prev":"`, `"prev":"A`)
	f(good, `"epoch":202611`, `"epoch":202613`)
	f(good, `"epoch":202611`, `"epoch":202600`)
	f(good, `"epoch":202611`, `"epoch":4295169907`) // 202611 + 2^32
	f(good, `2026-11-20T`, `2026-11-31T`)
	f(good, `2026-11-20T`, `2026-02-29T`)
	f(good, `2026-11-20T`, `2026-11-20 `)
	f(good, `T21:`, `T24:`)
	f(good, `:14:05.`, `:14:60.`)
	f(good, `:14:05.123457Z`, `:14:05.12345Z`)
	f(good, `:14:05.123457Z`, `:14:05.123457z`)
	f(good, `:14:05.123457Z`, `:14:05.123457+00:00`)
	f(good, `"offset":17`, `"offset":-17`)
	f(good, `"offset":17,`, ``)
	f(good, `"offset":17,"next":18`, `"next":18,"offset":17`)
	f(good, `"kind":"event"`, `"kind":"control"`)
	f(good, `"kind":"event"`, `"kind":"Event"`)
	f(good, `"kind":"event"`, `"kind":"events"`)
	f(control, `"kind":"control"`, `"kind":"event"`)
	f(good, `}}`, `}`+strings.Repeat(" ", MaxEntryBytes)+`}`)
	for i := range len(good) {
		var h Header
		body, err := ParseHeader([]byte(good[:i]), &h)
		if err == nil && string(AppendEntry(nil, &h, body)) != good[:i] {
			t.Fatalf("the first %d bytes pass, and are not what AppendEntry writes", i)
		}
	}
}

func TestTimesBeyondRFC3339AreClamped(t *testing.T) {
	for _, millis := range []int64{math.MinInt64, -62167219200001, -1, 0, 253402300800000, math.MaxInt64} {
		h := Header{Log: "t/0", Seq: 1, Epoch: 202611, Kind: KindRejected, Source: Source{TimeMillis: millis}}
		var got Header
		if _, err := ParseHeader(AppendEntry(nil, &h, nil), &got); err != nil {
			t.Errorf("time %d: %v", millis, err)
		}
		if got.Source.TimeMillis != ClampMillis(millis) {
			t.Errorf("time %d became %d, ClampMillis says %d", millis, got.Source.TimeMillis, ClampMillis(millis))
		}
	}
}

func TestEntryAllocatesNothing(t *testing.T) {
	e := newLog(t, "agent.events/3", 4).entries[1]
	var h Header
	body, err := ParseHeader(e.entry, &h)
	if err != nil {
		t.Fatal(err)
	}
	dst, hasher := make([]byte, 0, 2*len(e.entry)), NewHasher()
	allocs := testing.AllocsPerRun(100, func() {
		_, _ = ParseHeader(e.entry, &h)
		dst = AppendEntry(dst[:0], &h, body)
		hasher.Leaf(dst)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func FuzzParseHeader(f *testing.F) {
	for _, e := range newLog(f, "agent.events/3", 7).entries {
		f.Add(e.entry)
	}
	f.Fuzz(func(t *testing.T, entry []byte) {
		var h Header
		body, err := ParseHeader(entry, &h)
		if err == nil && !bytes.Equal(AppendEntry(nil, &h, body), entry) {
			t.Fatal("accepted what AppendEntry does not write")
		}
	})
}
