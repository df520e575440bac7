package scan

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// Options are what a Scanner looks for besides what is built in.
type Options struct {
	// Patterns are the deployment's own, usually from ParsePatterns.
	Patterns []Pattern
	// Model is a model file from MarshalModel. Empty: the built-in one.
	Model []byte
}

// Scanner finds things in texts. It is immutable and safe for concurrent use.
type Scanner struct {
	bytes      *byteTables
	lexicon    *lexicon
	rules      []rule
	rarest     mask                 // the concepts that some rule needs first
	byConcept  [maxConcepts]ruleSet // the rules that need a concept first
	literals   *literals
	targets    []target // what each literal is for
	custom     []customPattern
	model      *model
	thresholds thresholds
	marks      marks
}

// Scratch is the working memory of one Scan at a time. The zero value is not usable: NewScratch makes one.
type Scratch struct {
	text    []byte // normalised, with what was decoded behind it
	buffer  []byte
	offsets []uint32
	regions []region
	length  int // of the original
	owned   bool

	words   []word
	phrases []phraseHit
	marked  []markHit
	sets    [maxSets / 64]uint64 // the sets of concepts that words and phrases have
	chars   uint64               // the characters in marked, by their lowest six bits
	forms   uint8                // of all words
	present mask
	active  []phrase
	numbers []uint32 // words with digits
	long    []uint32 // words that may be encoded
	ats     []uint32 // at signs
	lits    []literalHit
	spaced  bool
	regexps int // runs of custom expressions

	gathered bool // hits are those of this text
	hits     []hit
	others   []hit // those that are no words, while they are gathered
	slots    []wordSlot
	touched  []uint32 // the features of the part at hand

	tags                   []byte
	tagStart, tagEnd       int
	hiddenStart, hiddenEnd int
	marks                  uint8
	decoded                int
	out, encoded           []byte

	score           float32
	adjusted        float32
	found           uint32 // checks, by bit
	spans           [len(checks)]span
	strongest, next [len(checks)]float32
	rulesHit        []uint16
	findings        []Finding
	seen            seen
}

// marks are the concepts that the code itself asks for or gives.
type marks struct{ question, colon, fence, owner, name, plain, phone, phoneAfter, license, ssn, national, comment mask }

// span is a range of the normalised text, or of the original if raw.
type span struct {
	start, end uint32
	raw        bool
}

// phrase is the beginning of a phrase: the hash of its words so far, and the first of them.
type phrase struct {
	hash  uint64
	first uint32
}

// NewScratch returns working memory for one goroutine. It grows with the text, and what a very long one took is given back.
func NewScratch() *Scratch {
	return &Scratch{words: make([]word, 0, 512), hits: make([]hit, 0, 256), findings: make([]Finding, 0, 32), buffer: make([]byte, 0, 4096), offsets: make([]uint32, 0, 4096)}
}

// New returns a Scanner. It fails for patterns that ParsePatterns would refuse.
func New(o Options) (*Scanner, error) {
	sc := &Scanner{bytes: newByteTables()}
	var err error
	if sc.lexicon, err = parseLexicon(lexiconText, normalWord); err != nil {
		return nil, err
	}
	if sc.rules, err = parseRules(rulesText, sc.lexicon); err != nil {
		return nil, err
	}
	for name, m := range map[string]*mask{"Q": &sc.marks.question, "COLON": &sc.marks.colon, "FENCE": &sc.marks.fence, "OWNER": &sc.marks.owner, "NAME": &sc.marks.name, "PLAIN": &sc.marks.plain,
		"PHONECUE": &sc.marks.phone, "PHONEAFTER": &sc.marks.phoneAfter, "LICENSE": &sc.marks.license, "SSNCUE": &sc.marks.ssn, "NATIONAL": &sc.marks.national, "HTMLCOMMENT": &sc.marks.comment} {
		bit, ok := sc.lexicon.concepts[name]
		if !ok {
			return nil, fmt.Errorf("the lexicon has no concept %s", name)
		}
		*m = m.with(bit)
	}
	if sc.custom, err = compilePatterns(o.Patterns); err != nil {
		return nil, err
	}
	file := o.Model
	if len(file) == 0 {
		file = modelFile
	}
	if err := sc.compileLiterals(); err != nil {
		return nil, err
	}
	sc.orderNeeds()
	if sc.model, err = loadModel(file); err != nil {
		return nil, err
	}
	sc.thresholds = sc.model.thresholds
	return sc, nil
}

// normalWord brings a word of the lexicon into the form that texts are brought into.
func normalWord(w string) string {
	s := NewScratch()
	s.length = len(w)
	s.normalise([]byte(w))
	return strings.ToLower(string(s.buffer))
}

// maxKept is how many words or hits memory is kept for: those of some 100 KiB of text. A text of a mebibyte can take 50 MB, and every partition has a Scratch.
const maxKept = 1 << 15

func (s *Scratch) reset(text []byte) {
	if len(text) < maxKept && (cap(s.words) > maxKept || cap(s.marked) > maxKept || cap(s.hits) > maxKept || cap(s.buffer) > 8*maxKept) {
		*s = *NewScratch() // what one text has blown up is given back
	}
	s.text, s.length, s.owned = text, len(text), false
	s.offsets, s.buffer = s.offsets[:0], s.buffer[:0]
	s.regions, s.words, s.hits, s.active = s.regions[:0], s.words[:0], s.hits[:0], s.active[:0]
	s.phrases, s.marked, s.sets, s.chars, s.forms, s.gathered = s.phrases[:0], s.marked[:0], [maxSets / 64]uint64{}, 0, 0, false
	s.numbers, s.long, s.ats, s.lits = s.numbers[:0], s.long[:0], s.ats[:0], s.lits[:0]
	s.regexps = 0
	s.spaced, s.tags, s.marks, s.decoded = false, s.tags[:0], 0, 0
	s.present, s.score, s.adjusted, s.found = mask{}, 0, 0, 0
	s.rulesHit, s.findings = s.rulesHit[:0], s.findings[:0]
}

// maxTextBytes is how much of a text is looked at: the size of the largest event.
const maxTextBytes = 1 << 20

// Scan finds what is in a text, and says how dangerous it is. The findings belong to s until the next Scan with it. They come by name and then by place; an injection is among
// them only if the text as a whole counts as one, and then the threat is at least medium. Of texts longer than a mebibyte the beginning is looked at. The time is linear in the
// length, and a benign text in ASCII allocates nothing.
func (sc *Scanner) Scan(s *Scratch, text []byte, from Source) ([]Finding, Threat) {
	text = text[:min(len(text), maxTextBytes)]
	sc.read(s, text)
	sc.judge(s)
	threat := sc.thresholds.threatOf(s.score, from, s.found)
	if threat > Low {
		for i := range checks {
			if s.found&(1<<i) != 0 {
				s.add(checks[i].name, s.spans[i])
			}
		}
	}
	threat = max(threat, sc.patterns(s, text, from))
	slices.SortFunc(s.findings, func(a, b Finding) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		if a.Start != b.Start {
			return a.Start - b.Start
		}
		return a.End - b.End
	})
	s.findings = slices.Compact(s.findings)
	return s.findings, threat
}

// read normalises a text, finds its words and literals, and those of what is hidden in it.
func (sc *Scanner) read(s *Scratch, text []byte) {
	s.reset(text)
	if !ascii(text) {
		s.normalise(text)
	}
	sc.tokenise(s, 0)
	s.lits = sc.literals.find(s.lits, s.text, 0)
	for depth, from, words := 0, 0, 0; depth < maxDepth; depth++ {
		from = len(s.text)
		first := words
		words = len(s.words)
		sc.decode(s, first, depth)
		if len(s.text) == from {
			break
		}
		s.active = s.active[:0]
		sc.tokenise(s, from)
		s.lits = sc.literals.find(s.lits, s.text, from)
	}
	sc.conceptsOf(s)
}

// Incomplete is the finding of a text that has more places to look at than are looked at, whatever stands there: somebody may have hidden something behind them. Its
// span is the end of the text, from the last place that was looked at.
const Incomplete = "scan.incomplete"

func (s *Scratch) noteLimits() {
	if len(s.lits) < maxLiteralHits && s.regexps <= maxRegexpRuns {
		return
	}
	from := uint32(0)
	if s.regexps <= maxRegexpRuns {
		from = s.lits[len(s.lits)-1].end
	}
	s.findings = s.findings[:min(len(s.findings), maxFindings-1)] // it is never the one that finds no room
	s.add(Incomplete, span{start: from, end: uint32(len(s.text))})
}

// maxFindings bounds what is reported of one text.
const maxFindings = 256

func (s *Scratch) add(name string, sp span) {
	if len(s.findings) >= maxFindings {
		return
	}
	f := Finding{Name: name}
	if sp.raw {
		f.Start, f.End = int(sp.start), int(sp.end)
	} else if sp.end > sp.start {
		f.Start, f.End = s.original(sp.start, sp.end)
	}
	s.findings = append(s.findings, f)
}

// judge runs the rules, and the model where a rule has found something.
func (sc *Scanner) judge(s *Scratch) {
	var candidates ruleSet
	for i, present := range s.present {
		for w := present & sc.rarest[i]; w != 0; w &= w - 1 {
			for k, rules := range sc.byConcept[i<<6+bits.TrailingZeros64(w)] {
				candidates[k] |= rules
			}
		}
	}
	for k, w := range candidates {
		for ; w != 0; w &= w - 1 {
			i := k<<6 + bits.TrailingZeros64(w)
			r := &sc.rules[i]
			if !r.possible(s.present) {
				continue
			}
			if start, end, ok := r.match(sc.gather(s)); ok {
				s.raise(r.check, r.weight, span{start: start, end: end})
				s.rulesHit = append(s.rulesHit, uint16(i))
			}
		}
	}
	sc.hidden(s)
	s.score = s.sum()
	if s.found != 0 {
		sc.prepare(s)
		s.adjusted = sc.model.adjust(s)
		s.score += s.adjusted
	}
}

// raise notes a rule's match. Of each check the strongest rule counts and half of the next: rules of one check see the same words.
func (s *Scratch) raise(check int, weight float32, sp span) {
	if s.found&(1<<check) == 0 {
		s.found |= 1 << check
		s.strongest[check], s.next[check] = 0, 0
	}
	if weight > s.strongest[check] {
		s.next[check], s.strongest[check] = s.strongest[check], weight
		s.spans[check] = sp
		return
	}
	s.next[check] = max(s.next[check], weight)
}

// sum adds up what was raised.
func (s *Scratch) sum() float32 {
	total := float32(0)
	for i := range checks {
		if s.found&(1<<i) != 0 {
			total += s.strongest[i] + s.next[i]/2
		}
	}
	return total
}
