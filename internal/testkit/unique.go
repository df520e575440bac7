package testkit

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
	"testing"
)

// unique makes a name of lower-case letters, digits and sep from the test's name, and random, so that tests sharing an engine stay apart.
func unique(t testing.TB, sep string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, t.Name())
	if len(name) > 32 {
		name = name[len(name)-32:]
	}
	random := make([]byte, 6)
	rand.Read(random) // never fails
	return "t" + sep + name + sep + hex.EncodeToString(random)
}
