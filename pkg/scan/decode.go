package scan

import (
	"encoding/base64"
	"unicode/utf8"
)

const (
	// longWord is the length from which a word may be encoded text: 12 letters of it.
	longWord = 16
	// minEncoded is the length of a whole run that is tried.
	minEncoded = 24
	// maxDecoded bounds the runs that are decoded in a text, maxDecodedBytes what comes out of them, and maxDepth text that was encoded more than once.
	maxDecoded      = 16
	maxDecodedBytes = 64 << 10
	maxDepth        = 2
	// loneLetters is how many letters in a row must stand alone to be read as words.
	loneLetters = 5
)

// decode appends to the text what is hidden in it: tags, base64, hexadecimal, spaced letters. from is where the words to look at begin.
func (sc *Scanner) decode(s *Scratch, from, depth int) {
	if depth == 0 && len(s.tags) > 0 {
		s.begin()
		s.appendDecoded(s.tags, s.tagStart, s.tagEnd)
	}
	if s.spaced {
		s.spaced = false
		sc.joinSpaced(s, from)
	}
	done := uint32(0)
	for _, n := range s.long {
		w := s.words[n]
		if w.start < done || int(n) < from || s.decoded >= maxDecoded {
			continue
		}
		start, end := sc.encodedRun(s.text, int(w.start), int(w.end))
		done = uint32(end)
		if end-start < minEncoded {
			continue
		}
		if out, ok := s.tryEncoded(s.text[start:end]); ok {
			f, t := s.original(uint32(start), uint32(end))
			s.marks |= hadDecoded
			s.decoded++
			s.begin()
			s.appendDecoded(out, f, t)
		}
	}
	s.long = s.long[:0]
	sc.spacedHex(s, from)
}

// begin makes the text the scratch's own, so that something can be appended to it.
func (s *Scratch) begin() {
	if !s.owned {
		if len(s.offsets) == 0 {
			s.buffer = append(s.buffer[:0], s.text...)
		}
		s.owned = true
		s.text = s.buffer
	}
}

func (s *Scratch) appendDecoded(out []byte, from, to int) {
	if len(s.text)+len(out) > s.length*2+maxDecodedBytes {
		return
	}
	s.buffer = append(s.buffer, '\n', '\n')
	start := len(s.buffer)
	s.buffer = append(s.buffer, out...)
	s.buffer = append(s.buffer, '\n')
	s.regions = append(s.regions, region{start: start, end: len(s.buffer), from: from, to: to})
	s.text = s.buffer
}

func encodedByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '+' || b == '/' || b == '-' || b == '_'
}

// encodedRun widens a word to all that may be base64 around it.
func (sc *Scanner) encodedRun(text []byte, start, end int) (from, to int) {
	for start > 0 && encodedByte(text[start-1]) {
		start--
	}
	for end < len(text) && encodedByte(text[end]) {
		end++
	}
	return start, end
}

// tryEncoded decodes hexadecimal or base64 if what comes out is text.
func (s *Scratch) tryEncoded(run []byte) ([]byte, bool) {
	if len(run) > maxDecodedBytes {
		return nil, false
	}
	upper, lower, digit, hex := 0, 0, 0, true
	for _, b := range run {
		switch {
		case b >= 'a' && b <= 'z':
			lower++
			hex = hex && b <= 'f'
		case b >= 'A' && b <= 'Z':
			upper++
			hex = hex && b <= 'F'
		case b >= '0' && b <= '9':
			digit++
		default:
			hex = false
		}
	}
	s.out = s.out[:0]
	if hex && digit > 0 {
		for i := 0; i+1 < len(run); i += 2 {
			s.out = append(s.out, unhex(run[i])<<4|unhex(run[i+1]))
		}
		return s.out, readable(s.out)
	}
	if digit == 0 && (upper == 0 || lower == 0) {
		return nil, false // a long word, a path
	}
	s.encoded = s.encoded[:0]
	for _, b := range run {
		switch b {
		case '-':
			b = '+'
		case '_':
			b = '/'
		}
		s.encoded = append(s.encoded, b)
	}
	s.encoded = s.encoded[:len(s.encoded)-btoi(len(s.encoded)%4 == 1)]
	s.out = append(s.out, make([]byte, base64.RawStdEncoding.DecodedLen(len(s.encoded)))...)
	n, err := base64.RawStdEncoding.Decode(s.out, s.encoded)
	s.out = s.out[:n]
	return s.out, err == nil && readable(s.out)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func unhex(b byte) byte {
	switch {
	case b >= 'a':
		return b - 'a' + 10
	case b >= 'A':
		return b - 'A' + 10
	}
	return b - '0'
}

// readable says whether bytes are text: valid, nearly all of it printable, with letters.
func readable(out []byte) bool {
	if len(out) < 8 || !utf8.Valid(out) {
		return false
	}
	odd, letters := 0, 0
	for _, b := range out {
		switch {
		case b < 0x20 && b != '\n' && b != '\r' && b != '\t' || b == 0x7f:
			odd++
		case b|0x20 >= 'a' && b|0x20 <= 'z' || b >= 0x80 || b == ' ':
			letters++
		}
	}
	return odd*33 <= len(out) && letters*2 >= len(out)
}

// hexPair returns the byte that a word such as 69, x69 or 0x69 stands for.
func hexPair(w []byte) (byte, bool) {
	if len(w) == 4 && w[0] == '0' && w[1]|0x20 == 'x' {
		w = w[2:]
	} else if len(w) == 3 && w[0]|0x20 == 'x' {
		w = w[1:]
	}
	if len(w) != 2 {
		return 0, false
	}
	for _, b := range w {
		if !(b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'f') {
			return 0, false
		}
	}
	return unhex(w[0])<<4 | unhex(w[1]), true
}

// minHexPairs is the least run of pairs that is read as text.
const minHexPairs = 10

// spacedHex reads runs of pairs of hexadecimal digits.
func (sc *Scanner) spacedHex(s *Scratch, from int) {
	if len(s.numbers) < minHexPairs/2 {
		return
	}
	run, runStart := s.out[:0], uint32(0)
	flush := func(end uint32) {
		if len(run) >= minHexPairs && readable(run) && s.decoded < maxDecoded {
			f, t := s.original(runStart, end)
			s.marks |= hadDecoded
			s.decoded++
			s.begin()
			s.appendDecoded(run, f, t)
		}
		run = run[:0]
	}
	words := len(s.words)
	for i := from; i < words; i++ {
		w := s.words[i]
		b, ok := byte(0), false
		if w.end-w.start <= 4 {
			b, ok = hexPair(s.text[w.start:w.end])
		}
		if !ok || len(run) > 0 && w.start-s.words[i-1].end > 2 {
			if i > from {
				flush(s.words[i-1].end)
			}
		}
		if ok {
			if len(run) == 0 {
				runStart = w.start
			}
			run = append(run, b)
		}
	}
	if words > from {
		flush(s.words[words-1].end)
	}
	s.out = run
}

// joinSpaced reads letters that stand alone as words: those with wider gaps between them as they are, the others by cutting the run into words of the lexicon.
func (sc *Scanner) joinSpaced(s *Scratch, from int) {
	words := len(s.words)
	for i := from; i < words; {
		j := i
		for j < words && s.words[j].end-s.words[j].start == 1 && s.words[j].class&isLetter != 0 && (j == i || s.words[j].start-s.words[j-1].end <= 4) {
			j++
		}
		if j-i < loneLetters {
			i = max(j, i+1)
			continue
		}
		s.marks |= hadSpaced
		s.encoded = s.encoded[:0]
		narrow := s.words[i+1].start - s.words[i].end
		for k := i; k < j; k++ {
			if k > i && s.words[k].start-s.words[k-1].end > narrow {
				s.encoded = append(s.encoded, ' ')
			}
			s.encoded = append(s.encoded, sc.bytes.fold[s.text[s.words[k].start]])
		}
		f, t := s.original(s.words[i].start, s.words[j-1].end)
		s.out = sc.cut(s.out[:0], s.encoded)
		s.begin()
		s.appendDecoded(s.out, f, t)
		i = j
	}
}

// cut puts blanks between the words of the lexicon in runs of letters, longest word first.
func (sc *Scanner) cut(out, letters []byte) []byte {
	for i := 0; i < len(letters); {
		best := 0
		for n := 2; n <= maxLeetBytes && i+n <= len(letters) && letters[i+n-2] != ' ' && letters[i+n-1] != ' '; n++ {
			if e := sc.lexicon.find(hashWord(letters[i : i+n])); e != nil && e.set != 0 {
				best = n
			}
		}
		if best == 0 {
			out = append(out, letters[i])
			i++
			continue
		}
		if len(out) > 0 && out[len(out)-1] != ' ' {
			out = append(out, ' ')
		}
		out = append(append(out, letters[i:i+best]...), ' ')
		i += best
	}
	return out
}
