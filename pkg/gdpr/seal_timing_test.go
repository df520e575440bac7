package gdpr

import (
	"fmt"
	"strings"
	"testing"
)

// contentOf returns JSON of about n bytes that compresses as agents' contents do.
func contentOf(n int) []byte {
	const sentence = `Could you please change my reservation 4WQ150 to the flight on Tuesday, HAT170 from Phoenix to Seattle? The user says that price matters. `
	return []byte(`{"input":"` + strings.Repeat(sentence, n/len(sentence)+1)[:n-12] + `"}`)
}

func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{95, 438, 1024} {
		for _, keys := range []int{1, 3} {
			b.Run(fmt.Sprintf("bytes=%d/keys=%d", size, keys), func(b *testing.B) {
				s, owners, plain := testSealer(b), prepared(testKeys(keys, 1)), contentOf(size)
				dst := make([]byte, 0, 2*size)
				var sealed Sealed
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for b.Loop() {
					if _, err := s.Seal(dst, plain, owners, &sealed); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, size := range []int{95, 438, 1024} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			c := newSealedContent(b, string(contentOf(size)), 1)
			keys := pointers(c.keys)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Open(nil, c.ciphertext, &c.sealed, keys); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkToken(b *testing.B) {
	s, p := testSealer(b), prepared(testKeys(1, 1))[0]
	value := []byte("session-018f2a4c-8d6e")
	b.ReportAllocs()
	for b.Loop() {
		s.SubjectToken(p, TagSession, value)
	}
}

func BenchmarkPrepare(b *testing.B) {
	keys := testKeys(1, 1)
	b.ReportAllocs()
	for b.Loop() {
		Prepare(&keys[0])
	}
}

func BenchmarkAppendSealed(b *testing.B) {
	c := newSealedContent(b, "x", 1)
	dst := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		AppendSealed(dst, &c.sealed)
	}
}
