package scantrain

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"slices"
	"strings"
)

// The model moves the rules' score within these bounds.
const (
	adjustLow  = -0.3
	adjustHigh = 0.75
)

// aimFalse is the rate of false alarms on the training folds that the threshold is chosen for: below the promised one, since unseen kinds of texts are worse.
const aimFalse = 0.006

// cut is a decision: where the model is neutral, and the threshold of the score.
type cut struct{ mid, threshold float64 }

// judged is a text with what a model that was not trained on its source says.
type judged struct {
	example *example
	logit   float64
}

func (c cut) score(j judged) float64 {
	if !j.example.found {
		return 0
	}
	return j.example.score + min(adjustHigh, max(adjustLow, j.logit-c.mid))
}

func (c cut) alarm(j judged) bool { return c.score(j) > c.threshold }

// threshold is the score that is an alarm. The rules' weights are made for it: the strongest are enough alone even if the model is against them. What is chosen is where the model is
// neutral, which moves the decision.
const threshold = 2.8

// choose returns the cut with most attacks found at no more than the false alarms aimed for. Among those that differ by less than a percent it takes the highest: what the model
// gives beyond need is paid for with texts of kinds that it never saw.
func choose(texts []judged, aim float64) cut {
	best, bestRecall := cut{mid: highestMid, threshold: threshold}, -1.0
	for mid := highestMid; mid >= lowestMid; mid -= 0.125 {
		c := cut{mid: mid, threshold: threshold}
		if recall, wrong := rates(texts, c); wrong <= aim && recall > bestRecall+0.01 {
			best, bestRecall = c, recall
		}
	}
	return best
}

// The logits between which the neutral one is looked for.
const lowestMid, highestMid = -4.0, 5.0

func rates(texts []judged, c cut) (recall, wrong float64) {
	var n, alarms [2]float64
	for _, j := range texts {
		n[j.example.Label]++
		if c.alarm(j) {
			alarms[j.example.Label]++
		}
	}
	return alarms[1] / max(1, n[1]), alarms[0] / max(1, n[0])
}

// innerFolds is how many models judge the training texts to choose a threshold.
const innerFolds = 4

// outOfFold judges each text by a model that was not trained on it, nor on texts that begin alike: there are many versions of some attacks.
func outOfFold(examples []example) []judged {
	fold := func(e *example) uint32 {
		h := fnv.New32a()
		for _, w := range strings.Fields(strings.ToLower(e.Text.Text))[:min(6, len(strings.Fields(e.Text.Text)))] {
			h.Write([]byte(w))
		}
		return h.Sum32() % innerFolds
	}
	var out []judged
	for k := range uint32(innerFolds) {
		var others []example
		for i := range examples {
			if fold(&examples[i]) != k {
				others = append(others, examples[i])
			}
		}
		l := train(others)
		for i := range examples {
			if fold(&examples[i]) == k {
				out = append(out, judged{example: &examples[i], logit: l.worst(&examples[i])})
			}
		}
	}
	return out
}

// verdict is the outcome for one text.
type verdict struct {
	judged
	cut   cut
	alarm bool
}

// crossValidate judges each source by a model and a threshold that know nothing of it: both come from the other sources.
func crossValidate(examples []example, progress io.Writer) []verdict {
	var out []verdict
	for _, source := range sources(examples) {
		var others []example
		for i := range examples {
			if examples[i].Source != source {
				others = append(others, examples[i])
			}
		}
		c := choose(outOfFold(others), aimFalse)
		fmt.Fprintf(progress, "without %-24s neutral at %.2f, threshold %.2f\n", source, c.mid, c.threshold)
		l := train(others)
		for i := range examples {
			if examples[i].Source != source || examples[i].training {
				continue
			}
			j := judged{example: &examples[i], logit: l.worst(&examples[i])}
			out = append(out, verdict{judged: j, cut: c, alarm: c.alarm(j)})
		}
	}
	return out
}

// Rate counts texts of a kind and those that were flagged.
type Rate struct {
	Source         string
	Label          int
	Texts, Flagged int
}

// Percent is the share that was flagged.
func (r Rate) Percent() float64 { return 100 * float64(r.Flagged) / math.Max(1, float64(r.Texts)) }

func tally(verdicts []verdict) []Rate {
	var out []Rate
	add := func(source string, v verdict) {
		at := slices.IndexFunc(out, func(r Rate) bool { return r.Source == source && r.Label == v.example.Label })
		if at < 0 {
			at = len(out)
			out = append(out, Rate{Source: source, Label: v.example.Label})
		}
		out[at].Texts++
		if v.alarm {
			out[at].Flagged++
		}
	}
	for _, v := range verdicts {
		add(v.example.Source, v)
		add("all", v)
	}
	slices.SortFunc(out, func(a, b Rate) int { return cmp.Or(b.Label-a.Label, cmp.Compare(a.Source, b.Source)) })
	return out
}

func printRates(w io.Writer, title string, rates []Rate) {
	fmt.Fprintln(w, title)
	for _, r := range rates {
		kind := "benign flagged"
		if r.Label == 1 {
			kind = "attacks found "
		}
		fmt.Fprintf(w, "  %s  %-24s %4d of %4d  %6.2f %%\n", kind, r.Source, r.Flagged, r.Texts, r.Percent())
	}
}
