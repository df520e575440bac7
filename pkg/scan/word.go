package scan

import (
	"encoding/binary"
	"math/bits"
)

// word is a word of the normalised text.
type word struct {
	hash       uint64 // as in the lexicon
	start, end uint32
	sentence   uint32 // counted from 0
	set        uint16 // of concepts, as in the lexicon
	class      uint8
	form       uint8
}

// The forms of a word.
const (
	wordFirst = 1 << iota // nothing stands before it in its sentence
	wordLine              // nothing stands before it in its line
	wordLeet              // its digits were read as letters
	wordOwner             // it ends with 's
	wordName              // the lexicon does not know it, and it begins with a capital inside a sentence
)

// Eight bytes are looked at together. ones times a byte repeats it.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// load returns the eight bytes from i on, the first in the lowest bits; zeros behind the end.
func load(text []byte, i int) uint64 {
	if i+8 <= len(text) {
		return binary.LittleEndian.Uint64(text[i:])
	}
	w := uint64(0)
	for k := len(text) - 1; k >= i; k-- {
		w = w<<8 | uint64(text[k])
	}
	return w
}

// eight is what there is to say of eight bytes, by the highest bit of each.
type eight struct{ letters, upper, digits, word uint64 }

func classify(w uint64) eight {
	// Sums of seven bits and what is missing to 128 carry nothing from one byte to the next.
	low := w &^ highs
	lower := low | ones*0x20
	letters := (lower + ones*(0x80-'a')) &^ (lower + ones*(0x7f-'z')) &^ w & highs
	digits := (low + ones*(0x80-'0')) &^ (low + ones*(0x7f-'9')) &^ w & highs
	return eight{letters: letters, upper: letters &^ (w << 2), digits: digits, word: (letters | digits | w) & highs}
}

// hashSeed is odd, so that words of up to eight bytes, which are most, have a hash of their own.
const hashSeed = 0x9ddfea08eb382d69

// hashMore takes eight more bytes into a hash.
func hashMore(h, w uint64) uint64 { return (bits.RotateLeft64(h, 23) ^ w) * hashSeed }

// hashWord is the hash of a word that is in lower case. Words are told apart by it alone: among some thousand words of a lexicon a collision is less likely than a broken machine,
// and who looks for one finds a word that is taken for another one, which he could have written.
func hashWord(w []byte) uint64 {
	h := load(w, 0) * hashSeed
	for i := 8; i < len(w); i += 8 {
		h = hashMore(h, load(w, i))
	}
	return h
}

// chain is the hash of a phrase: of the words so far and one more.
func chain(phrase, word uint64) uint64 {
	return (phrase ^ (word + 0x9e3779b97f4a7c15)) * fnvPrime
}
