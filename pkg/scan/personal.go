package scan

import (
	"net/netip"
	"sort"
)

// personal finds personal data. It never raises the threat: an address in a message is no attack, but the detector counts them.
func (sc *Scanner) personal(s *Scratch) {
	for _, at := range s.ats {
		if start, end, ok := email(s.text, int(at)); ok {
			s.add("pii.email", span{start: uint32(start), end: uint32(end)})
		}
	}
	done := uint32(0)
	for _, n := range s.numbers {
		w := s.words[n]
		if w.start < done {
			continue
		}
		if end := sc.number(s, int(n)); end > 0 {
			done = uint32(end)
		}
	}
}

// The bounds of RFC 5321, 4.5.3.1: a local part, a domain.
const (
	maxLocalBytes  = 64
	maxDomainBytes = 255
)

func localByte(b byte) bool {
	return alnum(b) || b == '.' || b == '_' || b == '%' || b == '+' || b == '-' || b >= 0x80
}

// email finds the address around an at sign.
func email(text []byte, at int) (start, end int, ok bool) {
	start = at
	for start > 0 && at-start < maxLocalBytes && localByte(text[start-1]) {
		start--
	}
	for start < at && (text[start] == '.' || text[start] == '-') {
		start++
	}
	dot := 0
	end = at + 1
	for end < len(text) && end-at < maxDomainBytes && (alnum(text[end]) || text[end] == '.' || text[end] == '-' || text[end] >= 0x80) {
		if text[end] == '.' {
			dot = end
		}
		end++
	}
	for end > at+1 && (text[end-1] == '.' || text[end-1] == '-') {
		end--
		if dot == end {
			for dot--; dot > at && text[dot] != '.'; dot-- {
			}
		}
	}
	if start == at || text[at-1] == '.' || dot <= at+1 || end-dot < 3 {
		return 0, 0, false
	}
	for _, b := range text[dot+1 : end] {
		if digit(b) {
			return 0, 0, false
		}
	}
	return start, end, true
}

// maxNumberBytes bounds a number with its separators; the longest of interest is an IBAN in groups of four.
const maxNumberBytes = 44

// numeral is a run of digits and separators.
type numeral struct {
	digits     [24]byte
	n          int // digits, more than fit included
	groups     [12]uint8
	count      int // groups
	separators [256 / 64]uint64
	start, end int
}

func (u *numeral) has(b byte) bool { return u.separators[b>>6]&(1<<(b&63)) != 0 }

// only says whether the digits stand in groups of these lengths.
func (u *numeral) only(groups ...uint8) bool {
	if u.count != len(groups) {
		return false
	}
	for i, g := range groups {
		if u.groups[i] != g {
			return false
		}
	}
	return true
}

// runOf reads the numeral that begins at start, opening bracket and plus before it included. A separator is one byte, or a bracket and a blank.
func runOf(text []byte, start int) numeral {
	u := numeral{start: start}
	for u.start > 0 && (text[u.start-1] == '(' || text[u.start-1] == '+') {
		u.start--
		u.mark(text[u.start])
	}
	i, group := start, uint8(0)
	closeGroup := func() {
		if group > 0 {
			if u.count < len(u.groups) {
				u.groups[u.count] = group
			}
			u.count++
		}
		group = 0
	}
	for i < len(text) && i-start < maxNumberBytes {
		b := text[i]
		if digit(b) {
			if u.n < len(u.digits) {
				u.digits[u.n] = b
			}
			u.n++
			group++
			i++
			u.end = i
			continue
		}
		if b != ' ' && b != '-' && b != '.' && b != '(' && b != ')' && b != '/' {
			break
		}
		j := i + 1
		for j < len(text) && j-i < 3 && (text[j] == ' ' && b == ')' || text[j] == '(' || text[j] == ')' && b != ')') {
			u.mark(text[j])
			j++
		}
		if j >= len(text) || !digit(text[j]) {
			break
		}
		closeGroup()
		u.mark(b)
		i = j
	}
	closeGroup()
	return u
}

func (u *numeral) mark(b byte) { u.separators[b>>6] |= 1 << (b & 63) }

// number looks at the word n, which has digits, and what follows it. It returns where it stopped if it found something or if nothing begins before.
func (sc *Scanner) number(s *Scratch, n int) (end int) {
	text, w := s.text, s.words[n]
	add := func(name string, start, end int) int {
		s.add(name, span{start: uint32(start), end: uint32(end)})
		return end
	}
	if w.class&isLetter != 0 {
		if from, to, ok := iban(text, int(w.start)); ok {
			return add("pii.iban", from, to)
		}
		if nationalLetters(text[w.start:w.end]) {
			return add("pii.national_id", int(w.start), int(w.end))
		}
		if sc.before(s, n, sc.marks.license, 6) && w.end-w.start >= 5 && w.end-w.start <= 18 {
			return add("pii.driver_license", int(w.start), int(w.end))
		}
		if !digit(text[w.start]) {
			return 0
		}
	}
	if int(w.end) < len(text) && text[w.end] == ':' || w.start > 0 && text[w.start-1] == ':' {
		if from, to, ok := ipv6(text, int(w.start)); ok {
			return add("pii.ip_address", from, to)
		}
	}
	u := runOf(text, int(w.start))
	if u.end < len(text) && (text[u.end] == '_' || alnum(text[u.end]) && text[u.end]|0x20 != 'x') || u.start > 0 && (alnum(text[u.start-1]) || text[u.start-1] == '_' || text[u.start-1] == '$') {
		return 0
	}
	switch {
	case u.n < 6:
		return 0
	case u.count == 4 && ipv4(text[w.start:u.end]):
		if w.start > 0 && text[w.start-1] == '.' {
			return 0
		}
		return add("pii.ip_address", int(w.start), u.end)
	case u.only(3, 2, 4) && (u.has('-') && !u.has(' ') || sc.before(s, n, sc.marks.ssn, 8)) && ssn(u.digits[:9]):
		return add("pii.us_ssn", int(w.start), u.end)
	case u.only(9) && sc.before(s, n, sc.marks.ssn, 6) && ssn(u.digits[:9]):
		return add("pii.us_ssn", int(w.start), u.end)
	case sc.before(s, n, sc.marks.license, 5) && u.n <= 14:
		return add("pii.driver_license", int(w.start), u.end)
	case u.n >= 12 && u.n <= 19 && u.card():
		return add("pii.credit_card", int(w.start), u.end)
	case u.n <= 18 && u.national(sc.before(s, n, sc.marks.national, 6)):
		return add("pii.national_id", int(w.start), u.end)
	}
	if from, to, ok := sc.phone(s, &u, n); ok {
		return add("pii.phone", from, to)
	}
	return 0
}

// nearHits bounds the hits that are looked at around a number: more do not lie within a few words.
const nearHits = 48

// hitsFrom returns the index of the first of the gathered hits at or behind the beginning of word n.
func (s *Scratch) hitsFrom(n int) int {
	if n >= len(s.words) {
		return len(s.hits)
	}
	start := s.words[n].start
	return sort.Search(len(s.hits), func(i int) bool { return s.hits[i].start >= start })
}

// before says whether one of at most k words before word n has the concept, or a literal does.
func (sc *Scanner) before(s *Scratch, n int, m mask, k int) bool {
	if !s.present.intersects(m) {
		return false
	}
	sc.gather(s)
	at := s.hitsFrom(n)
	for i := at - 1; i >= 0 && i >= at-nearHits; i-- {
		if h := &s.hits[i]; h.mask.intersects(m) && int(h.last) <= n && n-int(h.last) < k {
			return true
		}
	}
	return false
}

// follows does so for the k words from word n on.
func (sc *Scanner) follows(s *Scratch, n int, m mask, k int) bool {
	if !s.present.intersects(m) {
		return false
	}
	sc.gather(s)
	at := s.hitsFrom(n)
	for i := at; i < len(s.hits) && i < at+nearHits; i++ {
		if h := &s.hits[i]; h.mask.intersects(m) && int(h.word) > n && int(h.word)-n <= k {
			return true
		}
	}
	return false
}

func ipv4(b []byte) bool {
	value, dots, length := 0, 0, 0
	for i, c := range b {
		if c == '.' {
			if length == 0 || i == len(b)-1 {
				return false
			}
			dots, value, length = dots+1, 0, 0
			continue
		}
		if !digit(c) || length == 3 || length > 0 && value == 0 {
			return false
		}
		value, length = value*10+int(c-'0'), length+1
		if value > 255 {
			return false
		}
	}
	return dots == 3 && length > 0 && b[0] != '0' && b[0] != '.' && string(b[:min(4, len(b))]) != "127."
}

// minColons tells an address of IPv6 from a time.
const minColons = 3

// ipv6 finds an address around a number.
func ipv6(text []byte, at int) (start, end int, ok bool) {
	part := func(b byte) bool { return digit(b) || b == ':' || b|0x20 >= 'a' && b|0x20 <= 'f' }
	start, end = at, at
	for start > 0 && at-start < 40 && part(text[start-1]) {
		start--
	}
	colons := 0
	for end < len(text) && end-start < 46 && part(text[end]) {
		end++
	}
	if end-start > 39 || start > 0 && alnum(text[start-1]) || end < len(text) && alnum(text[end]) {
		return 0, 0, false
	}
	for _, b := range text[start:end] {
		colons += btoi(b == ':')
	}
	if colons < minColons {
		return 0, 0, false
	}
	a, err := netip.ParseAddr(string(text[start:end]))
	return start, end, err == nil && a.Is6() && !a.IsLoopback() && !a.IsUnspecified()
}

// longestWithoutCue is how many digits a phone number with country code has at most (E.164).
const longestPhone = 15

// phone decides by form alone where it is unmistakable (a plus sign; the grouping of North America), else needs a word such as call or fax near.
func (sc *Scanner) phone(s *Scratch, u *numeral, n int) (start, end int, ok bool) {
	text := s.text
	if u.n < 7 || u.n > longestPhone {
		return 0, 0, false
	}
	start, end = u.start, u.end
	plus := u.has('+')
	nanp := u.only(3, 3, 4) || u.only(1, 3, 3, 4) && text[u.start] != '0'
	switch {
	case plus && u.n >= 8 && u.digits[0] != '0':
	case nanp && u.digits[u.n-10] >= '2' && (u.has('-') || u.has('.') || u.has('(')):
	case u.only(3, 3, 3, 4) && u.digits[0] == '0' && u.digits[1] == '0':
	case u.has('/') || u.has('.') && u.count < 3:
		return 0, 0, false
	case sc.before(s, n, sc.marks.phone, 5) && !isDate(u):
	case sc.follows(s, n+u.count, sc.marks.phoneAfter, 1) && !isDate(u):
	default:
		return 0, 0, false
	}
	// An extension: x123.
	if end+1 < len(text) && text[end]|0x20 == 'x' && digit(text[end+1]) {
		for end++; end < len(text) && digit(text[end]); end++ {
		}
	}
	return start, end, true
}

// isDate says whether the groups are those of a date.
func isDate(u *numeral) bool {
	return u.only(4, 2, 2) || u.only(2, 2, 4) || u.only(4, 2, 2, 2) || u.count == 1 && u.n == 8 && (u.digits[0] == '1' && u.digits[1] == '9' || u.digits[0] == '2' && u.digits[1] == '0')
}
