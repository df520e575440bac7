package scan

import (
	_ "embed" // the model
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// modelFile is the built-in model, written by go run ./internal/scantrain/cmd/scantrain.
//
//go:embed model.bin
var modelFile []byte

// The shape of the model: weights by hash of words and pairs of words, then by concepts and pairs of concepts.
const (
	wordBits    = 17
	conceptBits = 13
	wordSlots   = 1 << wordBits
	modelSlots  = wordSlots + 1<<conceptBits
)

const (
	modelMagic = "agentaudit.scan.model/1\n"
	// modelHeader: magic, then as float32: scale, bias, mid, low, high, three thresholds for medium, those for high and critical.
	modelFloats = 10
	modelHeader = len(modelMagic) + 4*modelFloats
	// pairReach is how many words apart concepts still make a pair.
	pairReach = 5
	// damping keeps the few words of a short text from weighing too much: features count 1/sqrt(n+damping).
	damping = 8
	// windowWords and windowStep: a long text is judged by its worst part too.
	windowWords = 40
	windowStep  = 20
)

// model is a logistic regression over hashed features. It only moves the score of a text in which a rule has found something, within bounds: alone it can never raise an alarm, so
// texts of a kind that it never saw are left to the rules.
type model struct {
	weights        []byte // int8
	scale, bias    float32
	mid, low, high float32
	thresholds     thresholds
}

// ModelParameters are all that a model file holds.
type ModelParameters struct {
	Weights        []int8 // ModelSlots
	Scale, Bias    float32
	Mid, Low, High float32 // the score moves by logit - Mid, clipped to [Low, High]
	// Medium are the thresholds by Source; HighThreat and CriticalThreat those of the higher threats.
	Medium                     [3]float32
	HighThreat, CriticalThreat float32
}

// ModelSlots is the number of weights in a model.
const ModelSlots = modelSlots

// MarshalModel returns a model file for Options.Model.
func MarshalModel(p *ModelParameters) ([]byte, error) {
	if len(p.Weights) != modelSlots {
		return nil, fmt.Errorf("%d weights; want %d", len(p.Weights), modelSlots)
	}
	out := []byte(modelMagic)
	for _, f := range []float32{p.Scale, p.Bias, p.Mid, p.Low, p.High, p.Medium[0], p.Medium[1], p.Medium[2], p.HighThreat, p.CriticalThreat} {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(f))
	}
	for _, w := range p.Weights {
		out = append(out, byte(w))
	}
	return out, nil
}

var errModel = errors.New("the model is of another form")

func loadModel(file []byte) (*model, error) {
	if len(file) != modelHeader+modelSlots || string(file[:len(modelMagic)]) != modelMagic {
		return nil, errModel
	}
	var f [modelFloats]float32
	for i := range f {
		f[i] = math.Float32frombits(binary.LittleEndian.Uint32(file[len(modelMagic)+4*i:]))
		if math.IsNaN(float64(f[i])) || math.IsInf(float64(f[i]), 0) {
			return nil, errModel
		}
	}
	return &model{weights: file[modelHeader:], scale: f[0], bias: f[1], mid: f[2], low: f[3], high: f[4],
		thresholds: thresholds{medium: [3]float32{f[5], f[6], f[7]}, high: f[8], critical: f[9]}}, nil
}

// seen remembers which features a text has had: features count once.
type seen struct {
	stamps []uint32
	stamp  uint32
}

func (n *seen) begin() {
	if n.stamps == nil {
		n.stamps = make([]uint32, modelSlots)
	}
	n.stamp++
	if n.stamp == 0 {
		clear(n.stamps)
		n.stamp = 1
	}
}

func (n *seen) first(slot uint32) bool {
	if n.stamps[slot] == n.stamp {
		return false
	}
	n.stamps[slot] = n.stamp
	return true
}

// mix spreads a hash over all of its bits.
func mix(h uint64) uint64 {
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>32
}

// FNV-1a, 64 bit: by it a model's weights are found. It is a hash of its own because models outlive the lexicon's.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// modelHash is the hash of a word for the model: of its letters in lower case, without 's, and with digits as letters where they were read so.
func (sc *Scanner) modelHash(text []byte, w *word) uint64 {
	h, fold := uint64(fnvOffset), &sc.bytes.fold
	switch {
	case w.form&wordLeet != 0:
		for _, b := range text[w.start:w.end] {
			h = (h ^ uint64(leetLetter(fold[b]))) * fnvPrime
		}
		return h
	case w.form&wordOwner != 0:
		text = text[w.start : w.end-2]
	default:
		text = text[w.start:w.end]
	}
	for _, b := range text {
		h = (h ^ uint64(fold[b])) * fnvPrime
	}
	return h
}

// wordSlot has the slots of a word: by itself, and as a pair with the word before it.
type wordSlot struct{ word, pair uint32 }

// prepare makes ready what features need: once for all parts of the text that are judged.
func (sc *Scanner) prepare(s *Scratch) {
	sc.gather(s)
	s.slots = s.slots[:0]
	before := uint64(0)
	for i := range s.words {
		h := sc.modelHash(s.text, &s.words[i])
		s.slots = append(s.slots, wordSlot{word: uint32(mix(h) >> (64 - wordBits)), pair: uint32(mix(chain(before, h)) >> (64 - wordBits))})
		before = h
	}
}

// features appends the features of the words [from, to) once each: words and pairs of words.
func (s *Scratch) features(dst []uint32, from, to int) []uint32 {
	s.seen.begin()
	for i, slots := range s.slots[from:to] {
		if s.seen.first(slots.word) {
			dst = append(dst, slots.word)
		}
		if i > 0 && s.seen.first(slots.pair) {
			dst = append(dst, slots.pair)
		}
	}
	return dst
}

// conceptFeatures does so for concepts, concepts that begin a sentence, and pairs of concepts near each other.
func (s *Scratch) conceptFeatures(dst []uint32, from, to int) []uint32 {
	s.seen.begin()
	for i := s.hitsFrom(from); i < len(s.hits); i++ {
		a := &s.hits[i]
		if int(a.word) > to {
			break
		}
		near := i + 1
		for near < len(s.hits) && near < i+2*pairReach && s.hits[near].word <= a.last+pairReach && int(s.hits[near].word) <= to {
			near++
		}
		for part, set := range a.mask {
			for ; set != 0; set &= set - 1 {
				x := uint64(part<<6 + bits.TrailingZeros64(set))
				dst = s.concept(dst, x)
				if a.first {
					dst = s.concept(dst, x|1<<16)
				}
				for j := i + 1; j < near; j++ {
					for part, set := range s.hits[j].mask {
						for ; set != 0; set &= set - 1 {
							dst = s.concept(dst, x|uint64(part<<6+bits.TrailingZeros64(set))<<8|1<<17)
						}
					}
				}
			}
		}
	}
	return dst
}

// concept appends the feature of a concept or a pair of them if it was not seen.
func (s *Scratch) concept(dst []uint32, key uint64) []uint32 {
	if slot := wordSlots + uint32(mix(key*0x9e3779b97f4a7c15+1)>>(64-conceptBits)); s.seen.first(slot) {
		return append(dst, slot)
	}
	return dst
}

// logit is the model's view of the words [from, to). The words must be prepared.
func (m *model) logit(s *Scratch, from, to int) float32 {
	s.touched = s.features(s.touched[:0], from, to)
	g := m.weigh(s.touched)
	s.touched = s.conceptFeatures(s.touched[:0], from, to)
	return m.bias + m.scale*(g+m.weigh(s.touched))
}

// weigh adds up the weights of features; of many, each counts less.
func (m *model) weigh(slots []uint32) float32 {
	sum := 0
	for _, slot := range slots {
		sum += int(int8(m.weights[slot]))
	}
	return float32(sum) / float32(math.Sqrt(float64(len(slots)+damping)))
}

// windows visits the parts of a text that are judged: the whole, then overlapping windows.
func (s *Scratch) windows(visit func(from, to int)) {
	visit(0, len(s.words))
	if len(s.words) <= windowWords+windowStep/2 {
		return
	}
	for from := 0; from < len(s.words)-windowStep/2; from += windowStep {
		visit(from, min(from+windowWords, len(s.words)))
	}
}

// adjust returns by how much the model moves the rules' score. The words must be prepared.
func (m *model) adjust(s *Scratch) float32 {
	best := float32(math.Inf(-1))
	s.windows(func(from, to int) { best = max(best, m.logit(s, from, to)) })
	return min(m.high, max(m.low, best-m.mid))
}

// Evidence is what the rules and the model see in a text: for training and for explaining a score.
type Evidence struct {
	Rules     []string  // the rules that matched
	RuleScore float32   // the sum of their weights and of those of what was hidden
	Found     bool      // a rule matched: the model is asked
	Logit     float32   // the model's view of the worst part, if asked
	Score     float32   // what the thresholds are compared with
	Windows   []Feature // the features of the whole text, then of each window
}

// Feature lists the slots of the model that a part of a text touches: of words, then of concepts.
type Feature struct {
	Words, Concepts []uint32
}

// Explain returns the evidence of a text. It allocates: it is no part of what texts go through.
func (sc *Scanner) Explain(s *Scratch, text []byte) Evidence {
	sc.read(s, text[:min(len(text), maxTextBytes)])
	sc.judge(s)
	e := Evidence{Found: s.found != 0, Score: s.score, RuleScore: s.score}
	for _, r := range s.rulesHit {
		e.Rules = append(e.Rules, sc.rules[r].name)
	}
	sc.prepare(s)
	if s.found != 0 {
		e.RuleScore -= s.adjusted
		best := float32(math.Inf(-1))
		s.windows(func(from, to int) { best = max(best, sc.model.logit(s, from, to)) })
		e.Logit = best
	}
	s.windows(func(from, to int) {
		f := Feature{Words: s.features(nil, from, to), Concepts: s.conceptFeatures(nil, from, to)}
		e.Windows = append(e.Windows, f)
	})
	return e
}
