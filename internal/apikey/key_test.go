package apikey

import (
	"fmt"
	"strings"
	"testing"
)

// vector was computed with Python: "aak_" + s.hex() + crc32c(s) for s = bytes(range(32)), and SHA-256 of that text.
const vector = "aak_000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f46dd794e"

func TestKey(t *testing.T) {
	k := New()
	if other := New(); other == k || !strings.HasPrefix(k.Reveal(), Prefix) || len(k.Reveal()) != 76 {
		t.Fatal("two keys are equal, or are none")
	}
	if got, err := Parse(k.Reveal()); err != nil || got != k {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %s %+v", k, k, &k); strings.Contains(text, k.Reveal()[4:20]) {
		t.Error("printing shows it")
	}
	if _, err := Parse(vector); err != nil {
		t.Error(err)
	}
	// Each single digit that is another one is noticed, as is everything that only resembles a key.
	for i := range vector {
		for _, other := range "0f" {
			if rune(vector[i]) == other {
				continue
			}
			if _, err := Parse(vector[:i] + string(other) + vector[i+1:]); err == nil {
				t.Errorf("digit %d as %c: accepted", i, other)
			}
		}
	}
	for _, text := range []string{"", "aak_", vector + "0", vector[1:], strings.ToUpper(vector), "aak_" + strings.ToUpper(vector[4:]), " " + vector[1:], vector[:75] + "é"} {
		if _, err := Parse(text); err == nil {
			t.Errorf("accepted %q", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(vector)
	f.Add("aak_")
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := Parse(text); err == nil && (k.Reveal() != text || len(text) != keyBytes) {
			t.Error("read as another key")
		}
	})
}

// The most that each role may do; a right that is added to a role is added here on purpose.
func TestRights(t *testing.T) {
	want := map[Role]string{
		Viewer: "1100000000", Analyst: "1100110010", Auditor: "1101011000", DPO: "1111111111", Admin: "1111111110", "": "0000000000", "root": "0000000000",
	}
	for role, all := range want {
		got := ""
		for right := Discover; right <= SeeRestricted; right++ {
			if role.May(right) {
				got += "1"
			} else {
				got += "0"
			}
		}
		if got != all {
			t.Errorf("%q: %s, want %s", role, got, all)
		}
		if role.Valid() != (all != "0000000000") {
			t.Errorf("%q is a role: %v", role, role.Valid())
		}
	}
}
