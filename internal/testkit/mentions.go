package testkit

import (
	"regexp"
	"slices"
	"strings"
)

// digests matches hashes and signatures in base64 and hex.
var digests = regexp.MustCompile(`[A-Za-z0-9+/]{40,}={0,2}`)

// Mentions says whether a text has one of some words in it, outside of hashes and signatures, in which any short word stands now and then.
func Mentions(text string, words ...string) bool {
	rest := digests.ReplaceAllString(text, "…")
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(rest, word) })
}
