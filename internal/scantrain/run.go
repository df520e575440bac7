package scantrain

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/agentaudit/agentaudit/pkg/scan"
)

// toolDiscount is how much lower the threshold is for a tool's output, where nobody should give orders, and for what a model has written.
const (
	toolDiscount  = 0.35
	modelDiscount = 0
	// aboveHigh and aboveCritical are how far above the threshold of a user's message a score is high or critical.
	aboveHigh     = 0.85
	aboveCritical = 3
)

// Config says what to train on and what to print.
type Config struct {
	Texts, Benign []string // files: labelled texts; benign ones that are only trained on
	Errors        bool     // print what was judged wrongly
	RulesOnly     bool     // no model
	Progress      io.Writer
}

// load reads and observes everything.
func load(cfg Config) ([]example, error) {
	scanner, err := scan.New(scan.Options{})
	if err != nil {
		return nil, err
	}
	var examples []example
	for _, path := range cfg.Texts {
		texts, err := ReadTexts(path)
		if err != nil {
			return nil, err
		}
		examples = append(examples, observe(scanner, texts)...)
	}
	for _, path := range cfg.Benign {
		texts, err := ReadTexts(path)
		if err != nil {
			return nil, err
		}
		for _, e := range observe(scanner, texts) {
			e.training = true
			examples = append(examples, e)
		}
	}
	return examples, nil
}

// CrossValidate prints how many attacks and how many benign texts are flagged when no source is scored by a model that was trained on it, and returns the rates.
func CrossValidate(cfg Config, out io.Writer) ([]Rate, error) {
	examples, err := load(cfg)
	if err != nil {
		return nil, err
	}
	printRules(out, examples)
	if cfg.RulesOnly {
		return nil, nil
	}
	verdicts := crossValidate(examples, cfg.Progress)
	rates := tally(verdicts)
	printRates(out, "cross-validated by source", rates)
	if cfg.Errors {
		printErrors(out, verdicts)
	}
	return rates, nil
}

// printRules prints what the rules find without a model, by threshold, and how often each matches.
func printRules(out io.Writer, examples []example) {
	type count struct{ benign, attacks int }
	matches := map[string]*count{}
	for _, t := range []float64{0, 1, 1.5, 2, 2.25, 2.5, 3, 3.5} {
		var n, alarms [2]int
		for i := range examples {
			n[examples[i].Label]++
			if examples[i].score > t {
				alarms[examples[i].Label]++
			}
		}
		fmt.Fprintf(out, "rules above %.2f: %5.2f %% of attacks, %5.2f %% of benign texts\n", t, percent(alarms[1], n[1]), percent(alarms[0], n[0]))
	}
	for i := range examples {
		for _, r := range examples[i].rules {
			if matches[r] == nil {
				matches[r] = &count{}
			}
			if examples[i].Label == 1 {
				matches[r].attacks++
			} else {
				matches[r].benign++
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(matches)) {
		fmt.Fprintf(out, "  %-24s %4d attacks %4d benign\n", name, matches[name].attacks, matches[name].benign)
	}
}

func printErrors(out io.Writer, verdicts []verdict) {
	for _, v := range verdicts {
		if v.alarm == (v.example.Label == 1) {
			continue
		}
		text := []rune(strings.Join(strings.Fields(v.example.Text.Text), " "))
		fmt.Fprintf(out, "%d %s score %.2f (rules %.2f, model %+.2f) %s %s\n", v.example.Label, v.example.Source, v.cut.score(v.judged), v.example.score, v.logit-v.cut.mid,
			strings.Join(v.example.rules, ","), string(text[:min(len(text), 300)]))
	}
}

// Train fits the model that is shipped, on all texts, and returns its file. The cut is chosen by judging each text by models that did not see it.
func Train(cfg Config) ([]byte, error) {
	examples, err := load(cfg)
	if err != nil {
		return nil, err
	}
	c := choose(outOfFold(examples), aimFalse)
	p := quantise(train(examples))
	p.Mid, p.Low, p.High = float32(c.mid), adjustLow, adjustHigh
	t := float32(c.threshold)
	p.Medium = [3]float32{scan.FromUser: t, scan.FromModel: t - modelDiscount, scan.FromTool: t - toolDiscount}
	p.HighThreat, p.CriticalThreat = t+aboveHigh, t+aboveCritical
	fmt.Fprintf(cfg.Progress, "neutral at %.2f, threshold %.2f\n", c.mid, c.threshold)
	return scan.MarshalModel(p)
}

// Resubstitute prints what the built-in scanner says of the texts: of texts that its model was trained on a flattering figure, of others an honest one.
func Resubstitute(path string, from scan.Source, out io.Writer) ([]Rate, error) {
	scanner, err := scan.New(scan.Options{})
	if err != nil {
		return nil, err
	}
	texts, err := ReadTexts(path)
	if err != nil {
		return nil, err
	}
	scratch := scan.NewScratch()
	var verdicts []verdict
	for _, t := range texts {
		findings, threat := scanner.Scan(scratch, []byte(t.Text), from)
		injected := slices.ContainsFunc(findings, func(f scan.Finding) bool { return strings.HasPrefix(f.Name, "injection.") })
		verdicts = append(verdicts, verdict{judged: judged{example: &example{Text: t}}, alarm: injected && threat >= scan.Medium})
	}
	rates := tally(verdicts)
	printRates(out, "the scanner as it is shipped", rates)
	return rates, nil
}
