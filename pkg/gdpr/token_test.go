package gdpr

import (
	"crypto/hmac"
	"crypto/sha256"
	"testing"
)

// deriveToken makes a token as docs/formats.md, "Tokens", says.
func deriveToken(key [32]byte, tag byte, value string) [TokenBytes]byte {
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte{tag})
	mac.Write([]byte(value))
	return [TokenBytes]byte(mac.Sum(nil)[:TokenBytes])
}

func TestTokens(t *testing.T) {
	search := [32]byte{9, 9, 9}
	s, err := NewSealer(&search)
	if err != nil {
		t.Fatal(err)
	}
	keys := testKeys(2, 1)
	first, second := Prepare(&keys[0]), Prepare(&keys[1])
	if s.SubjectToken(&first, TagSession, []byte("s-1")) != deriveToken(keys[0].Token, TagSession, "s-1") {
		t.Error("a session's token is not that of the subject's token key")
	}
	if s.SearchToken(TagResource, []byte("order 7")) != deriveToken(search, TagResource, "order 7") {
		t.Error("a resource's token is not that of the search key")
	}
	if s.SubjectToken(&first, TagSession, []byte("x")) == s.SubjectToken(&second, TagSession, []byte("x")) {
		t.Error("two subjects' tokens of one value are equal")
	}
	if s.SubjectToken(&first, TagSession, []byte("x")) == s.SubjectToken(&first, TagConversation, []byte("x")) {
		t.Error("a session and a conversation of one name have equal tokens")
	}
}
