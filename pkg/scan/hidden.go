package scan

// The weights of what is hidden in a text. Alone it is rarely an attack: emoji have joiners, mails have encoded parts.
const (
	weightTags       = 2
	weightInvisible  = 1
	weightMixed      = 1
	weightDecoded    = 0.75
	weightSpaced     = 0.75
	weightRepetition = 1
)

// minRepeats is how often a word must stand in a row to be padding.
const minRepeats = 24

// indexOf returns the place of a check among checks.
func indexOf(rules string) int {
	for i := range checks {
		if checks[i].rules == rules {
			return i
		}
	}
	panic("scan: no check " + rules)
}

// hidden weighs what normalising has found, and words that are repeated without end.
func (sc *Scanner) hidden(s *Scratch) {
	if s.marks&hadTags != 0 {
		s.raise(indexOf("hidden"), weightTags, span{})
		s.spans[indexOf("hidden")] = span{start: uint32(s.tagStart), end: uint32(s.tagEnd), raw: true}
	}
	if s.marks&hadInvisible != 0 {
		s.raise(indexOf("hidden"), weightInvisible, span{start: uint32(s.hiddenStart), end: uint32(s.hiddenEnd), raw: true})
	}
	if s.marks&hadMixed != 0 {
		s.raise(indexOf("obfuscation"), weightMixed, span{})
	}
	if s.marks&hadSpaced != 0 {
		s.raise(indexOf("obfuscation"), weightSpaced, s.decodedSpan())
	}
	if s.marks&hadDecoded != 0 {
		s.raise(indexOf("obfuscation"), weightDecoded, s.decodedSpan())
	}
	run := 1
	for i := 1; i < len(s.words); i++ {
		if w := &s.words[i]; w.hash != s.words[i-1].hash || w.end-w.start < 2 {
			run = 1
			continue
		}
		if run++; run == minRepeats {
			s.raise(indexOf("repetition"), weightRepetition, span{start: s.words[i+1-minRepeats].start, end: s.words[i].end})
			return
		}
	}
}

// decodedSpan is the first part of the original that something was decoded from.
func (s *Scratch) decodedSpan() span {
	if len(s.regions) == 0 {
		return span{}
	}
	return span{start: uint32(s.regions[0].from), end: uint32(s.regions[0].to), raw: true}
}
