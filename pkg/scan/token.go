package scan

import (
	"math/bits"
	"slices"
)

// The classes of bytes. Bytes from 0x80 on are parts of letters: what is left of other characters after normalising is punctuation in ASCII.
const (
	isLetter = 1 << iota
	isUpper
	isDigit
	isHigh
	isEnd   // ends a sentence
	isBreak // ends a line
	isOdd   // means something to tokenise where it stands
	isJoint // may belong to the word before it
)

const isWord = isLetter | isDigit | isHigh

type byteTables struct {
	class [256]uint8
	fold  [256]uint8
}

func newByteTables() *byteTables {
	t := &byteTables{}
	for i := range 256 {
		b := byte(i)
		t.fold[i] = b
		switch {
		case b >= 'a' && b <= 'z':
			t.class[i] = isLetter
		case b >= 'A' && b <= 'Z':
			t.class[i], t.fold[i] = isLetter|isUpper, b|0x20
		case b >= '0' && b <= '9':
			t.class[i] = isDigit
		case b >= 0x80:
			t.class[i] = isHigh
		case b == '.' || b == '!' || b == '?' || b == ':' || b == ';':
			t.class[i] = isEnd
		case b == '\n' || b == '\r':
			t.class[i] = isBreak
		case b == '@':
			t.class[i] = isOdd | isJoint
		case b == '`' || b == '#' || b == '/':
			t.class[i] = isOdd
		case b == '\'' || b == '$':
			t.class[i] = isJoint
		}
	}
	return t
}

// maxLeetBytes bounds words that are read with digits as letters; real words are shorter.
const maxLeetBytes = 24

// maxFoldedBytes bounds words with an apostrophe that are looked up whole.
const maxFoldedBytes = 256

// tokenise appends the words of s.text[from:] to s.words with what the lexicon knows about them, and notes what the other stages look at: phrases, marks, numbers, at signs, long
// words, letters that stand alone. It is the one pass over its words that every text goes through.
func (sc *Scanner) tokenise(s *Scratch, from int) {
	text, class := s.text, &sc.bytes.class
	sentence := uint32(0)
	if n := len(s.words); n > 0 {
		sentence = s.words[n-1].sentence + 1
	}
	lexicon := sc.lexicon
	form, lone, before := uint8(wordFirst|wordLine), 0, uint64(0)
	for i := from; i < len(text); {
		b := text[i]
		c := class[b]
		if c&isWord == 0 {
			switch {
			case b == ' ':
			case c&isEnd != 0:
				// A dot inside a number or a name (1.5, example.com) ends nothing.
				here := sentence
				if i+1 >= len(text) || class[text[i+1]]&isWord == 0 {
					if form&wordFirst == 0 {
						sentence++
					}
					form |= wordFirst
				}
				if b == '?' || b == ':' {
					s.mark(b, i, here)
				}
			case c&isBreak != 0:
				if form == wordLine {
					sentence++ // an empty line
				}
				form = wordFirst | wordLine
			case c&isOdd != 0:
				switch {
				case b == '@':
					s.ats = append(s.ats, uint32(i))
				case b == '`':
					if i+2 < len(text) && text[i+1] == '`' && text[i+2] == '`' {
						s.mark(b, i, sentence)
						i += 2
					}
				case b == '#' && form&wordLine != 0, b == '/' && i+1 < len(text) && (text[i+1] == '/' && (i == 0 || text[i-1] != ':') || text[i+1] == '*'):
					s.mark('#', i, sentence)
					form |= wordFirst
				}
			}
			i++
			continue
		}
		// Eight bytes at a time, in lower case. Most words end within the first eight.
		start := i
		w := load(text, i)
		e := classify(w)
		rest := ^e.word & highs
		inside := (rest&-rest)>>7 - 1 // the bytes before the first that is of no word
		h := (w | e.upper>>2) & inside * hashSeed
		upper := e.upper & inside
		all := isLetter | uint8((upper|-upper)>>63)*isUpper
		if odd := (e.digits | w&highs) & inside; odd != 0 {
			all = classes(e, w, inside)
		}
		i += bits.TrailingZeros64(rest) >> 3 // 64 bits if there is none
		for rest == 0 && i < len(text) {
			w = load(text, i)
			e = classify(w)
			if rest = ^e.word & highs; rest&0x80 != 0 {
				break
			}
			inside = (rest&-rest)>>7 - 1
			h = hashMore(h, (w|e.upper>>2)&inside)
			all |= classes(e, w, inside)
			i += bits.TrailingZeros64(rest) >> 3
		}
		if all&isDigit != 0 || i < len(text) && class[text[i]]&isJoint != 0 {
			var odd uint8
			i, h, odd = sc.joined(s, start, i, h, all)
			form |= odd
		}
		number := len(s.words)
		one := 0
		if i-start == 1 && all&isLetter != 0 {
			one = 1
		}
		if lone = (lone + 1) * one; lone == loneLetters {
			s.spaced = true
		}
		if i-start >= longWord {
			s.long = append(s.long, uint32(number))
		}
		// Phrases of two words are looked for behind every word: to ask first whether the word before begins one takes longer.
		pair := chain(before, h)
		before = h
		if len(s.active) > 0 || lexicon.mayBePhrase(pair) {
			sc.phrases(s, h, pair)
		}
		// Without a jump: every other word would be guessed wrongly.
		known := lexicon.place(h)
		differs := known.hash ^ h
		same := uint16((differs|-differs)>>63) - 1
		set, keeps := known.set&same, known.keeps&uint8(same)
		s.sets[set>>6&3] |= 1 << (set & 63)
		if all&(isUpper|isDigit) == isUpper && form&wordFirst == 0 && differs != 0 && i-start > 1 && class[text[start]]&isUpper != 0 && class[text[start+1]]&isUpper == 0 {
			form |= wordName
		}
		s.forms |= form
		// Field by field: a whole word would be put together elsewhere and copied, which waits for its parts.
		if number == cap(s.words) {
			s.words = slices.Grow(s.words, 1)
		}
		s.words = s.words[:number+1]
		to := &s.words[number]
		to.hash, to.start, to.end, to.sentence, to.set, to.class, to.form = h, uint32(start), uint32(i), sentence, set, all, form
		form &= keeps
	}
}

// classes are those of the bytes of a word.
func classes(e eight, w, inside uint64) uint8 {
	all := uint8(0)
	if e.letters&inside != 0 {
		all = isLetter
	}
	if e.upper&inside != 0 {
		all |= isUpper
	}
	if e.digits&inside != 0 {
		all |= isDigit
	}
	if w&highs&inside != 0 {
		all |= isHigh
	}
	return all
}

// fold appends the bytes in lower case. What has more bytes than dst has room for is cut off: no word of the lexicon is as long.
func (sc *Scanner) fold(dst, w []byte) []byte {
	for _, b := range w[:min(len(w), cap(dst))] {
		dst = append(dst, sc.bytes.fold[b])
	}
	return dst
}

// joined goes on with a word that has digits, or that an apostrophe, an at sign or a dollar sign follows. It returns where the word ends, its hash, and what there is to say of its
// form.
func (sc *Scanner) joined(s *Scratch, start, at int, base uint64, all uint8) (end int, hash uint64, form uint8) {
	text, class, i, h := s.text, &sc.bytes.class, at, base
	if i+1 < len(text) && text[i] == '\'' && all&isDigit == 0 && class[text[i+1]]&isLetter != 0 {
		i, h, form = sc.apostrophe(text, start, i, h)
	}
	if all&isDigit != 0 {
		if all&isLetter != 0 && i-start <= maxLeetBytes {
			if leet, ok := sc.leet(text[start:i]); ok {
				h, form = leet, form|wordLeet
			}
		}
		s.numbers = append(s.numbers, uint32(len(s.words)))
	}
	if i < len(text) && (text[i] == '@' || text[i] == '$') && all&isLetter != 0 {
		if end, leet, ok := sc.leetAcross(text, start, i); ok {
			i, h, form = end, leet, form|wordLeet
		}
	}
	return i, h, form
}

// apostrophe goes on behind the apostrophe in don't and user's. The latter is the word user, marked as an owner.
func (sc *Scanner) apostrophe(text []byte, start, at int, base uint64) (end int, hash uint64, owner uint8) {
	i := at + 1
	for i < len(text) && sc.bytes.class[text[i]]&isLetter != 0 {
		i++
	}
	var room [maxFoldedBytes]byte
	hash = hashWord(sc.fold(room[:0], text[start:i]))
	if i == at+2 && sc.bytes.fold[text[at+1]] == 's' {
		if e := sc.lexicon.find(hash); e != nil && e.set != 0 {
			return i, hash, 0 // what's and the like have entries of their own
		}
		return i, base, wordOwner
	}
	return i, hash, 0
}

func leetLetter(b byte) byte {
	switch b {
	case '0':
		return 'o'
	case '1':
		return 'i'
	case '3':
		return 'e'
	case '4', '@':
		return 'a'
	case '5', '$':
		return 's'
	case '7':
		return 't'
	case '8':
		return 'b'
	}
	return b
}

// leet reads digits as letters where that makes a word of the lexicon: 1gn0re.
func (sc *Scanner) leet(w []byte) (hash uint64, ok bool) {
	if len(w) < 4 {
		return 0, false
	}
	var room [maxLeetBytes]byte
	letters := sc.fold(room[:0], w)
	for i, b := range letters {
		letters[i] = leetLetter(b)
	}
	hash = hashWord(letters)
	return hash, sc.lexicon.find(hash) != nil
}

// leetAcross does the same where @ and $ stand for letters and would end the word: p@ssword.
func (sc *Scanner) leetAcross(text []byte, start, at int) (end int, hash uint64, ok bool) {
	i := at
	for i < len(text) && i-start <= maxLeetBytes && (sc.bytes.class[text[i]]&isWord != 0 || text[i] == '@' || text[i] == '$') {
		i++
	}
	if i-start > maxLeetBytes {
		return at, 0, false
	}
	hash, ok = sc.leet(text[start:i])
	return i, hash, ok
}

// phrases notes the phrases that end with the last word, which is about to be added, and follows those that may go on behind it. pair is the hash of the word before and it.
func (sc *Scanner) phrases(s *Scratch, hash, pair uint64) {
	n := uint32(len(s.words))
	keep := s.active[:0]
	follow := func(h uint64, first uint32) {
		e := sc.lexicon.find(h)
		if e == nil {
			return
		}
		if e.set != 0 {
			s.sets[e.set>>6&3] |= 1 << (e.set & 63)
			s.phrases = append(s.phrases, phraseHit{set: e.set, first: first, last: n})
		}
		if e.goesOn && len(keep) < maxPhrases {
			keep = append(keep, phrase{hash: h, first: first})
		}
	}
	for _, p := range s.active {
		follow(chain(p.hash, hash), p.first)
	}
	if n > 0 && sc.lexicon.mayBePhrase(pair) {
		follow(pair, n-1)
	}
	s.active = keep
}

// maxPhrases bounds the phrases that are followed at a time.
const maxPhrases = 8
