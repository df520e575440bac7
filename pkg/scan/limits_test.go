package scan

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// What is hidden behind more places than are looked at is not found, and that is said.
func TestIncomplete(t *testing.T) {
	token := "AK" + "IAJ5Q7K2M4N6P8R3T1"
	secret := "\n" + token + "\n"
	sc := newScanner(t, Options{Patterns: []Pattern{{Name: "ticket", Regexp: `tick-\d+`, Threat: Low}}})
	s := NewScratch()
	f := func(text string, want bool) {
		t.Helper()
		found, threat := sc.Scan(s, []byte(text), FromUser)
		at := slices.IndexFunc(found, func(f Finding) bool { return f.Name == Incomplete })
		if at >= 0 != want {
			t.Errorf("%d findings, incomplete: %v, want %v", len(found), at >= 0, want)
		}
		if at >= 0 && found[at].End != len(text) {
			t.Errorf("%+v of %d bytes", found[at], len(text))
		}
		if !want && strings.Contains(text, secret) && threat < Medium {
			t.Error("the secret is not found")
		}
	}
	f(secret, false)
	f(strings.Repeat("password= ", maxLiteralHits/2)+secret, false)
	f(strings.Repeat("password= ", 2*maxLiteralHits)+secret, true)
	f(strings.Repeat("tick- ", maxRegexpRuns/2), false)
	f(strings.Repeat("tick- ", maxRegexpRuns+1), true)
	f(string(bytes.Repeat([]byte("tick-1 "+token+" "), maxRegexpRuns+1)), true) // it has room among many findings
}
