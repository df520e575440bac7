package events

import (
	"testing"
	"time"
)

func TestUUIDv7(t *testing.T) {
	// The example of RFC 9562, appendix A.6: version and variant replace bits of random.
	at := time.Date(2022, 2, 22, 19, 22, 22, 0, time.UTC)
	random := [10]byte{0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f}
	if got := UUIDv7(at, random).String(); got != "017f22e2-79b0-7cc3-98c4-dc0c0c07398f" {
		t.Error(got)
	}
	a, b := NewUUID(at), NewUUID(at)
	if a == b {
		t.Error("two ids are the same")
	}
	if got := a.String()[:15]; got != "017f22e2-79b0-7" {
		t.Error(got)
	}
}

func TestParseUUID(t *testing.T) {
	u, ok := ParseUUID([]byte("017F22e2-79B0-7cc3-98c4-dc0C0c07398f"))
	if !ok || u.String() != "017f22e2-79b0-7cc3-98c4-dc0c0c07398f" {
		t.Error(u, ok)
	}
	const good = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
	for i := range good {
		for _, c := range []byte{'g', 'G', '/', ':', '@', '`', ' ', 0, 0x80, 0xff} {
			bad := []byte(good)
			bad[i] = c
			if _, ok := ParseUUID(bad); ok {
				t.Errorf("%q is accepted", bad)
			}
		}
	}
	var read UUID
	if err := read.UnmarshalText([]byte(good)); err != nil || read.String() != good {
		t.Error(read, err)
	}
	if err := read.UnmarshalText([]byte(good[1:])); err == nil {
		t.Error("a short id is accepted")
	}
}

// TestHashedUUID: ids that are made of data must stay the same over versions; the value is sha256sum's.
func TestHashedUUID(t *testing.T) {
	if got, want := HashedUUID([]byte("agentaudit digest 2026-03-02")).String(), "6992888e-34c0-8911-96a2-b86a5a103071"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if HashedUUID([]byte("a")) == HashedUUID([]byte("b")) {
		t.Error("different data make the same id")
	}
}
