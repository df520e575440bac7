package gdpr

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
)

// AppendSealed appends c as the JSON object that stands in the entry as "content".
func AppendSealed(dst []byte, c *Sealed) []byte {
	dst = append(dst, `{"alg":"`...)
	dst = append(dst, c.Algorithm...)
	dst = append(dst, `","keys":["`...)
	for i, id := range c.Keys {
		if i > 0 {
			dst = append(dst, `","`...)
		}
		dst = appendUUID(dst, id)
	}
	dst = append(dst, `"],"salt":"`...)
	dst = base64.RawURLEncoding.AppendEncode(dst, c.Salt[:])
	dst = append(dst, `","sha256":"`...)
	dst = base64.RawURLEncoding.AppendEncode(dst, c.SHA256[:])
	dst = append(dst, `","commit":"`...)
	dst = base64.RawURLEncoding.AppendEncode(dst, c.Commit[:])
	return append(dst, `"}`...)
}

var errSealedForm = errors.New("malformed content object of an entry")

// ParseSealed reads the JSON object that AppendSealed writes, and nothing else: an algorithm that is not known here is refused too. c.Keys is reused.
func ParseSealed(content []byte, c *Sealed) error {
	rest, ok := strings.CutPrefix(string(content), `{"alg":"`)
	alg, rest, ok2 := strings.Cut(rest, `","keys":["`)
	ids, rest, ok3 := strings.Cut(rest, `"],"salt":"`)
	salt, rest, ok4 := strings.Cut(rest, `","sha256":"`)
	sum, rest, ok5 := strings.Cut(rest, `","commit":"`)
	commit, end, ok6 := strings.Cut(rest, `"}`)
	if !(ok && ok2 && ok3 && ok4 && ok5 && ok6) || end != "" {
		return errSealedForm
	}
	switch alg {
	case AlgorithmPlain, AlgorithmSnappy:
		c.Algorithm = alg
	default:
		return errSealedForm
	}
	c.Keys = c.Keys[:0]
	for text := range strings.SplitSeq(ids, `","`) {
		id, ok := parseKeyID([]byte(text))
		if !ok || len(c.Keys) == MaxKeys {
			return errSealedForm
		}
		c.Keys = append(c.Keys, id)
	}
	if !decode32(&c.Salt, salt) || !decode32(&c.SHA256, sum) || !decode32(&c.Commit, commit) || checkKeyIDs(c.Keys) != nil {
		return errSealedForm
	}
	// Base64 skips line breaks; whatever else was read leniently shows here.
	if !bytes.Equal(AppendSealed(make([]byte, 0, len(content)), c), content) {
		return errSealedForm
	}
	return nil
}

func decode32(to *[32]byte, text string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && copy(to[:], raw) == len(to) && len(raw) == len(to)
}
