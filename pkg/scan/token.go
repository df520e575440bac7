package scan

// The classes of bytes. Bytes from 0x80 on are parts of letters: what is left of other characters after normalising is punctuation in ASCII.
const (
	isLetter = 1 << iota
	isUpper
	isDigit
	isHigh
	isEnd   // ends a sentence
	isBreak // ends a line
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
		}
	}
	return t
}

// FNV-1a, 64 bit. Words are told apart by this alone: among some thousand words of a lexicon a collision is less likely than a broken machine.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// chain is the hash of a phrase: of the words so far and one more.
func chain(phrase, word uint64) uint64 {
	return (phrase ^ (word + 0x9e3779b97f4a7c15)) * fnvPrime
}

// word is a word of the normalised text. sentence counts from 0; first says that nothing stands before it in its sentence.
type word struct {
	hash       uint64
	start, end uint32
	sentence   uint32
	class      uint8
	first      bool
	line       bool // nothing stands before it in its line
}

// maxLeetBytes bounds words that are read with digits as letters; real words are shorter.
const maxLeetBytes = 24

// tokenise appends the words of s.text[from:] to s.words and what the lexicon knows about them to s.hits, and notes what the other stages look at: numbers, at signs, long
// words, letters that stand alone. It is the one pass that every text goes through.
func (sc *Scanner) tokenise(s *Scratch, from int) {
	text, class, fold := s.text, &sc.bytes.class, &sc.bytes.fold
	sentence := uint32(0)
	if n := len(s.words); n > 0 {
		sentence = s.words[n-1].sentence + 1
	}
	first, lone, lineStart := true, 0, true
	for i := from; i < len(text); {
		c := class[text[i]]
		if c&isWord == 0 {
			switch b := text[i]; {
			case b == ' ':
			case c&isEnd != 0:
				// A dot inside a number or a name (1.5, example.com) ends nothing.
				before := sentence
				if i+1 >= len(text) || class[text[i+1]]&isWord == 0 {
					if !first {
						sentence++
					}
					first = true
				}
				if b == '?' || b == ':' {
					sc.mark(s, b, i, before)
				}
			case c&isBreak != 0:
				if lineStart && !first {
					sentence++ // an empty line
				}
				first, lineStart = true, true
			case b == '@':
				s.ats = append(s.ats, uint32(i))
			case b == '`':
				if i+2 < len(text) && text[i+1] == '`' && text[i+2] == '`' {
					sc.mark(s, b, i, sentence)
					i += 2
				}
			case b == '#' && lineStart, b == '/' && i+1 < len(text) && (text[i+1] == '/' && (i == 0 || text[i-1] != ':') || text[i+1] == '*'):
				sc.mark(s, '#', i, sentence)
				first = true
			}
			i++
			continue
		}
		start, h, all := i, uint64(fnvOffset), uint8(0)
		for i < len(text) {
			b := text[i]
			k := class[b]
			if k&isWord == 0 {
				break
			}
			all |= k
			h = (h ^ uint64(fold[b])) * fnvPrime
			i++
		}
		possessive := false
		if i+1 < len(text) && text[i] == '\'' && all&isDigit == 0 && class[text[i+1]]&isLetter != 0 {
			i, h, possessive = sc.apostrophe(text, start, i, h)
		}
		if all&isDigit != 0 {
			if all&isLetter != 0 && i-start <= maxLeetBytes {
				h = sc.leet(text[start:i], h)
			}
			s.numbers = append(s.numbers, uint32(len(s.words)))
		}
		if i < len(text) && (text[i] == '@' || text[i] == '$') && all&isLetter != 0 {
			i, h = sc.leetAcross(text, start, i, h)
		}
		n := i - start
		if n == 1 && all&isLetter != 0 {
			lone++
			if lone == loneLetters {
				s.spaced = true
			}
		} else {
			lone = 0
			if n >= longWord {
				s.long = append(s.long, uint32(len(s.words)))
			}
		}
		s.words = append(s.words, word{hash: h, start: uint32(start), end: uint32(i), sentence: sentence, class: all, first: first, line: lineStart})
		filler := sc.look(s, h, possessive)
		if !filler {
			first, lineStart = false, false
		}
	}
}

// apostrophe goes on behind the apostrophe in don't and user's. The latter is the word user, marked as an owner.
func (sc *Scanner) apostrophe(text []byte, _, at int, base uint64) (end int, hash uint64, possessive bool) {
	h := (base ^ '\'') * fnvPrime
	i := at + 1
	for i < len(text) && sc.bytes.class[text[i]]&isLetter != 0 {
		h = (h ^ uint64(sc.bytes.fold[text[i]])) * fnvPrime
		i++
	}
	if i == at+2 && sc.bytes.fold[text[at+1]] == 's' {
		if e := sc.lexicon.find(h); e != nil && e.mask != (mask{}) {
			return i, h, false // what's and the like have entries of their own
		}
		return i, base, true
	}
	return i, h, false
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
func (sc *Scanner) leet(w []byte, otherwise uint64) uint64 {
	h := uint64(fnvOffset)
	for _, b := range w {
		h = (h ^ uint64(leetLetter(sc.bytes.fold[b]))) * fnvPrime
	}
	if e := sc.lexicon.find(h); e != nil && len(w) >= 4 {
		return h
	}
	return otherwise
}

// leetAcross does the same where @ and $ stand for letters and would end the word: p@ssword.
func (sc *Scanner) leetAcross(text []byte, start, at int, otherwise uint64) (end int, hash uint64) {
	i := at
	for i < len(text) && i-start <= maxLeetBytes && (sc.bytes.class[text[i]]&isWord != 0 || text[i] == '@' || text[i] == '$') {
		i++
	}
	if i-start >= 4 && i-start <= maxLeetBytes {
		if h := sc.leet(text[start:i], 0); h != 0 {
			return i, h
		}
	}
	return at, otherwise
}

// look asks the lexicon about the last word: by itself, and as a part of phrases. A word that it does not know is a name if it has a capital inside a sentence.
// It reports words such as please, behind which a sentence is still at its beginning.
func (sc *Scanner) look(s *Scratch, hash uint64, possessive bool) (filler bool) {
	if len(s.active) > 0 {
		sc.phrases(s, hash)
	}
	e, m := sc.lexicon.find(hash), mask{}
	n := len(s.words) - 1
	if e != nil {
		m = e.mask
		if e.goesOn && len(s.active) < maxPhrases {
			s.active = append(s.active, phrase{hash: hash, first: uint32(n)})
		}
	} else if w := &s.words[n]; !w.first && w.class&(isUpper|isDigit) == isUpper && w.end-w.start > 1 && sc.bytes.class[s.text[w.start]]&isUpper != 0 && sc.bytes.class[s.text[w.start+1]]&isUpper == 0 {
		m = sc.marks.name
	}
	if possessive {
		m = m.or(sc.marks.owner)
	}
	if m != (mask{}) {
		s.hit(m, n)
	}
	return m.intersects(sc.marks.filler)
}

// maxPhrases bounds the phrases that are followed at a time.
const maxPhrases = 8
