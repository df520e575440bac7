package scantrain

import (
	"math"
	"slices"

	"github.com/agentaudit/agentaudit/pkg/scan"
)

// The training: logistic loss with an L2 penalty, both classes of equal weight, within a class the sources by the root of their size. Features that only one source has say more about
// the source than about attacks and are left out.
const (
	penalty    = 2e-4
	iterations = 120
	// damping is that of the scanner: features of a text with n of them count 1/sqrt(n+damping).
	damping = 8
	// minSources is in how many sources a feature must be seen.
	minSources = 2
	// windowShare is how much the windows of a benign text weigh beside the whole: the scanner judges a text by its worst part, so parts must look benign too.
	windowShare = 0.5
	maxWindows  = 8
)

// linear is a trained model.
type linear struct {
	weights []float64 // by slot
	bias    float64
}

// row is one part of a text in the form in which training looks at it.
type row struct {
	words, concepts []uint32
	label, weight   float64
}

func scale(n int) float64 { return 1 / math.Sqrt(float64(n+damping)) }

// logit is what the model says of a part of a text. Features that were left out count into the damping, as in the scanner.
func (l *linear) logit(f *scan.Feature) float64 {
	return l.bias + l.sum(f.Words) + l.sum(f.Concepts)
}

func (l *linear) sum(slots []uint32) float64 {
	s := 0.0
	for _, slot := range slots {
		s += l.weights[slot]
	}
	return s * scale(len(slots))
}

// worst is the highest logit of the parts of a text.
func (l *linear) worst(e *example) float64 {
	best := math.Inf(-1)
	for i := range e.windows {
		best = max(best, l.logit(&e.windows[i]))
	}
	return best
}

// train fits a model by accelerated gradient descent (Nesterov, 1983) with the step that the loss's curvature allows.
func train(examples []example) *linear {
	rows := weigh(examples)
	kept := keep(examples)
	w, bias := make([]float64, scan.ModelSlots), 0.0
	look, lookBias := make([]float64, scan.ModelSlots), 0.0
	gradient := make([]float64, scan.ModelSlots)
	// Each row's squared norm is at most 1 for words, 1 for concepts and 1 for the bias; the loss's second derivative is at most 1/4; the weights sum to 1.
	const step = 1 / (0.75 + penalty)
	for k := range iterations {
		clear(gradient)
		gradientBias := 0.0
		l := linear{weights: look, bias: lookBias}
		for i := range rows {
			r := &rows[i]
			z := l.bias + l.sum(r.words) + l.sum(r.concepts)
			g := r.weight * (1/(1+math.Exp(-z)) - r.label)
			gradientBias += g
			for _, slots := range [2][]uint32{r.words, r.concepts} {
				d := g * scale(len(slots))
				for _, slot := range slots {
					gradient[slot] += d
				}
			}
		}
		momentum := float64(k) / float64(k+3)
		for _, slot := range kept {
			next := look[slot] - step*(gradient[slot]+penalty*look[slot])
			look[slot] = next + momentum*(next-w[slot])
			w[slot] = next
		}
		next := lookBias - step*gradientBias
		lookBias, bias = next+momentum*(next-bias), next
	}
	return &linear{weights: w, bias: bias}
}

// weigh makes rows of texts whose weights sum to 1.
func weigh(examples []example) []row {
	type group struct {
		source string
		label  int
	}
	counts := map[group]float64{}
	for i := range examples {
		counts[group{examples[i].Source, examples[i].Label}]++
	}
	total := [2]float64{}
	for g, n := range counts {
		total[g.label] += math.Sqrt(n)
	}
	var rows []row
	for i := range examples {
		e := &examples[i]
		weight := 0.5 / math.Sqrt(counts[group{e.Source, e.Label}]) / total[e.Label]
		parts := 1
		if e.Label == 0 && e.found {
			parts = min(len(e.windows), maxWindows)
		}
		for n := range parts {
			share := 1.0
			switch {
			case parts > 1 && n == 0:
				share = 1 - windowShare
			case parts > 1:
				share = windowShare / float64(parts-1)
			}
			rows = append(rows, row{words: e.windows[n].Words, concepts: e.windows[n].Concepts, label: float64(e.Label), weight: weight * share})
		}
	}
	return rows
}

// keep returns the slots that enough sources have.
func keep(examples []example) []uint32 {
	last, count := make([]int, scan.ModelSlots), make([]int, scan.ModelSlots)
	for n, source := range sources(examples) {
		for i := range examples {
			if examples[i].Source != source {
				continue
			}
			for _, slots := range [2][]uint32{examples[i].windows[0].Words, examples[i].windows[0].Concepts} {
				for _, slot := range slots {
					if last[slot] != n+1 {
						last[slot] = n + 1
						count[slot]++
					}
				}
			}
		}
	}
	var kept []uint32
	for slot, n := range count {
		if n >= minSources {
			kept = append(kept, uint32(slot))
		}
	}
	return slices.Clip(kept)
}

// quantise brings a model into the scanner's form.
func quantise(l *linear) *scan.ModelParameters {
	largest := 0.0
	for _, w := range l.weights {
		largest = max(largest, math.Abs(w))
	}
	p := &scan.ModelParameters{Weights: make([]int8, scan.ModelSlots), Scale: float32(largest / 127), Bias: float32(l.bias)}
	if largest == 0 {
		return p
	}
	for i, w := range l.weights {
		p.Weights[i] = int8(math.Round(w / largest * 127))
	}
	return p
}
