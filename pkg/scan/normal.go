package scan

import (
	"encoding/binary"
	"sort"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// invisible are characters that take no place: zero-width ones, directions, fillers, variation selectors. Texts have single ones for honest reasons (joiners in emoji and in Indic
// and Persian words, soft hyphens, byte order marks).
var invisible = &unicode.RangeTable{R16: []unicode.Range16{
	{Lo: 0x00ad, Hi: 0x00ad, Stride: 1}, {Lo: 0x034f, Hi: 0x034f, Stride: 1}, {Lo: 0x061c, Hi: 0x061c, Stride: 1}, {Lo: 0x115f, Hi: 0x1160, Stride: 1},
	{Lo: 0x17b4, Hi: 0x17b5, Stride: 1}, {Lo: 0x180b, Hi: 0x180e, Stride: 1}, {Lo: 0x200b, Hi: 0x200f, Stride: 1}, {Lo: 0x202a, Hi: 0x202e, Stride: 1},
	{Lo: 0x2060, Hi: 0x206f, Stride: 1}, {Lo: 0xfe00, Hi: 0xfe0f, Stride: 1}, {Lo: 0xfeff, Hi: 0xfeff, Stride: 1},
}, R32: []unicode.Range32{{Lo: 0xe0000, Hi: 0xe0fff, Stride: 1}}}

// Tags (U+E0020 to U+E007E) are invisible copies of ASCII. Their honest use is in flags, which begin with a black flag and end with U+E007F.
const (
	tagFirst  = 0xe0020
	tagLast   = 0xe007e
	blackFlag = 0x1f3f4
)

// lookalike is the Latin letter that a letter of another script looks like: what a forger mixes into Latin words. 0: none. Only words that hold both are mapped.
func lookalike(r rune) byte {
	switch r {
	case 'а', 'α', 'ɑ', 'А', 'Α':
		return 'a'
	case 'в', 'В', 'Β':
		return 'b'
	case 'с', 'ϲ', 'С':
		return 'c'
	case 'ԁ':
		return 'd'
	case 'е', 'ε', 'Е', 'Ε':
		return 'e'
	case 'ɡ':
		return 'g'
	case 'н', 'һ', 'Н', 'Η':
		return 'h'
	case 'і', 'ι', 'ı', 'І', 'Ι':
		return 'i'
	case 'ј', 'Ј':
		return 'j'
	case 'к', 'κ', 'К', 'Κ':
		return 'k'
	case 'ⅼ':
		return 'l'
	case 'м', 'М', 'Μ':
		return 'm'
	case 'Ν':
		return 'n'
	case 'о', 'ο', 'О', 'Ο':
		return 'o'
	case 'р', 'ρ', 'Р', 'Ρ':
		return 'p'
	case 'ԛ':
		return 'q'
	case 'ѕ', 'Ѕ':
		return 's'
	case 'т', 'τ', 'Т', 'Τ':
		return 't'
	case 'υ':
		return 'u'
	case 'ν':
		return 'v'
	case 'ԝ':
		return 'w'
	case 'х', 'Х', 'Χ':
		return 'x'
	case 'у', 'Υ':
		return 'y'
	case 'Ζ':
		return 'z'
	}
	return 0
}

// punctuation is what tokens end at, in ASCII.
func punctuation(r rune) byte {
	switch r {
	case '’', '‘', 'ʼ', '′':
		return '\''
	case '“', '”', '„', '«', '»':
		return '"'
	case '。', '．', '…':
		return '.'
	case '、', '，':
		return ','
	case '–', '—', '‐', '‑', '−':
		return '-'
	case '؟', '？', '⸮':
		return '?'
	case '！':
		return '!'
	case '：':
		return ':'
	case '\u2028', '\u2029', '\u0085':
		return '\n'
	}
	return ' '
}

// The marks of what was hidden in a text.
const (
	hadTags = 1 << iota
	hadInvisible
	hadMixed
	hadDecoded
	hadSpaced
)

// manyInvisible is how many invisible characters between Latin letters are no accident any more.
const manyInvisible = 2

func ascii(text []byte) bool {
	for len(text) >= 8 {
		if binary.LittleEndian.Uint64(text)&highs != 0 {
			return false
		}
		text = text[8:]
	}
	return load(text, 0)&highs == 0
}

// normalise writes text to s.text in the form in which rules look at it, with s.offsets leading from each byte back to the original: compatible forms unified (NFKC), letters
// other than ASCII in lower case, accents and invisible characters gone, typographic punctuation in ASCII, look-alikes of Latin letters inside Latin words in Latin. Invalid bytes
// are blanks. Tags become a text of their own, for decode.
func (s *Scratch) normalise(text []byte) {
	s.buffer, s.offsets, s.tags = s.buffer[:0], s.offsets[:0], s.tags[:0]
	wordStart, latin, foreign := -1, false, false
	closeWord := func() {
		if latin && foreign && wordStart >= 0 {
			s.latinise(wordStart)
		}
		wordStart, latin, foreign = -1, false, false
	}
	invisibles, inFlag := 0, false
	for i := 0; i < len(text); {
		b := text[i]
		if b < 0x80 {
			if b|0x20 >= 'a' && b|0x20 <= 'z' {
				if wordStart < 0 {
					wordStart = len(s.buffer)
				}
				latin = true
			} else if wordStart >= 0 {
				closeWord()
			}
			s.put(b, i)
			i++
			inFlag = false
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError:
			closeWord()
			s.put(' ', i)
		case r >= tagFirst && r <= tagLast:
			if !inFlag {
				s.tags = append(s.tags, byte(r-0xe0000))
				if len(s.tags) == 1 {
					s.tagStart = i
				}
				s.tagEnd = i + n
			}
		case (r == 0xad || r >= 0x34f) && unicode.Is(invisible, r):
			if wordStart >= 0 && latin && r != 0xad && i+n < len(text) && text[i+n] < 0x80 {
				invisibles++
				if invisibles == 1 {
					s.hiddenStart = i
				}
				s.hiddenEnd = i + n
			}
		case r == blackFlag:
			closeWord()
			inFlag = true
			s.put(' ', i)
			i += n
			continue
		case r >= 0x300 && r < 0x370: // accents
		case r >= 0xc0 && r < 0x250 && r != 0xd7 && r != 0xf7 || r >= 0x4e00 && r < 0xa000 || unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Mc, r):
			if wordStart < 0 {
				wordStart = len(s.buffer)
			}
			if r >= 0x131 && lookalike(r) != 0 {
				foreign = true
			}
			s.putRune(text[i:i+n], r, i)
		default:
			closeWord()
			s.put(punctuation(r), i)
		}
		if r < tagFirst || r > 0xe007f {
			inFlag = false
		}
		i += n
	}
	closeWord()
	if len(s.tags) > 0 {
		s.marks |= hadTags
	}
	if invisibles >= manyInvisible {
		s.marks |= hadInvisible
	}
	s.text = s.buffer
}

// maxForm is how many bytes a character may become. Few become more, such as one that is a whole Arabic blessing: of a text of those, eleven times as much would be to be looked through.
const maxForm = 12

func (s *Scratch) put(b byte, at int) {
	s.buffer = append(s.buffer, b)
	s.offsets = append(s.offsets, uint32(at))
}

// putRune writes a letter: decomposed if that leaves an ASCII letter with accents, else composed and in lower case.
func (s *Scratch) putRune(raw []byte, r rune, at int) {
	// Letters of scripts that have neither case nor compatible forms, and Latin ones whose form is known, are nearly all there is.
	if r >= 0x3040 && r < 0xa000 || r >= 0xac00 && r < 0xd7a4 {
		for _, b := range raw {
			s.put(b, at)
		}
		return
	}
	if r < 0x250 {
		if f := &latinForms[r-0x80]; f.n > 0 {
			for _, b := range f.form[:f.n] {
				s.put(b, at)
			}
			return
		}
	}
	var tmp [64]byte
	form := raw
	if r < 0x250 || r >= 0x1e00 {
		form = norm.NFKD.Append(tmp[:0], raw...)
		if len(form) > maxForm {
			form = raw
		}
	}
	for len(form) > 0 {
		p, n := utf8.DecodeRune(form)
		form = form[n:]
		switch {
		case p < 0x80:
			s.put(byte(p), at)
		case unicode.Is(unicode.Mn, p) && p < 0x370:
		default:
			p = stripAccent(unicode.ToLower(p))
			var enc [4]byte
			for _, b := range enc[:utf8.EncodeRune(enc[:], p)] {
				s.put(b, at)
			}
		}
	}
}

// latinForm is what becomes of a Latin letter with an accent. n is 0 where that does not fit.
type latinForm struct {
	form [3]byte
	n    uint8
}

// latinForms are those of U+0080 to U+024F. It is a constant in all but name.
var latinForms = func() (forms [0x250 - 0x80]latinForm) {
	for i := range forms {
		var out []byte
		for _, p := range norm.NFKD.String(string(rune(i + 0x80))) {
			if p < 0x80 || !unicode.Is(unicode.Mn, p) {
				out = utf8.AppendRune(out, unicode.ToLower(p))
			}
		}
		if len(out) <= len(forms[i].form) {
			forms[i].n = uint8(copy(forms[i].form[:], out))
		}
	}
	return forms
}()

// stripAccent takes the accent off Greek and Cyrillic letters, which are composed in almost every text.
func stripAccent(r rune) rune {
	switch r {
	case 'ά':
		return 'α'
	case 'έ':
		return 'ε'
	case 'ή':
		return 'η'
	case 'ί', 'ϊ', 'ΐ':
		return 'ι'
	case 'ό':
		return 'ο'
	case 'ύ', 'ϋ', 'ΰ':
		return 'υ'
	case 'ώ':
		return 'ω'
	case 'ё':
		return 'е'
	}
	return r
}

// latinise maps look-alikes in the word from start on. The word only becomes shorter.
func (s *Scratch) latinise(start int) {
	w := start
	for i := start; i < len(s.buffer); {
		r, n := utf8.DecodeRune(s.buffer[i:])
		if l := lookalike(r); l != 0 && n > 1 {
			s.buffer[w], s.offsets[w] = l, s.offsets[i]
			w++
			s.marks |= hadMixed
		} else {
			copy(s.buffer[w:], s.buffer[i:i+n])
			copy(s.offsets[w:], s.offsets[i:i+n])
			w += n
		}
		i += n
	}
	s.buffer, s.offsets = s.buffer[:w], s.offsets[:w]
}

// region is a part of the normalised text that was decoded from a part of the original.
type region struct {
	start, end int // in the normalised text
	from, to   int // in the original
}

// original returns the bytes of the original that the bytes of the normalised text came from.
func (s *Scratch) original(start, end uint32) (from, to int) {
	// A hostile text has a region for every few bytes. They stand in the order in which they were appended.
	if i := sort.Search(len(s.regions), func(i int) bool { return s.regions[i].end > int(start) }); i < len(s.regions) {
		if r := &s.regions[i]; int(start) >= r.start {
			return r.from, r.to
		}
	}
	if len(s.offsets) == 0 {
		return int(start), int(end)
	}
	from, to = int(s.offsets[start]), s.length
	last := s.offsets[end-1]
	for k := end; int(k) < len(s.offsets); k++ {
		if s.offsets[k] != last {
			to = int(s.offsets[k])
			break
		}
	}
	return from, to
}
