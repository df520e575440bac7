package gdpr

import (
	"strings"
	"testing"
)

func TestValidPurpose(t *testing.T) {
	f := func(want bool, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if got := ValidPurpose(text); got != want {
				t.Errorf("%q: %v", text, got)
			}
		}
	}
	f(true, "a", "marketing", "marketing.e-mail", "model-training.2026", "x1.y2-z3", strings.Repeat("a", 64))
	f(false, "", "Marketing", "1st", ".a", "-a", "a.", "a-", "a..b", "a.-b", "a b", "a_b", "a/b", "ä", "a\x00", "a\n", "mia@example.com", strings.Repeat("a", 65))
}
