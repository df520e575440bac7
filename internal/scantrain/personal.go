package scantrain

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/agentaudit/agentaudit/pkg/scan"
)

// PersonalRate counts what was found of one type of personal data. A finding is right if it overlaps a span of the type by at least half of the longer of the two.
type PersonalRate struct {
	Type                   string
	Spans, Found           int
	Findings, RightFinding int
}

// personalTypes maps the data's types to the scanner's names. Names, organisations, places and dates are no patterns.
var personalTypes = [...]struct{ theirs, ours string }{
	{"EMAIL_ADDRESS", "pii.email"}, {"PHONE_NUMBER", "pii.phone"}, {"CREDIT_CARD", "pii.credit_card"}, {"IBAN_CODE", "pii.iban"}, {"US_SSN", "pii.us_ssn"},
	{"IP_ADDRESS", "pii.ip_address"}, {"US_DRIVER_LICENSE", "pii.driver_license"},
}

type personalSpan struct {
	Type       string `json:"type"`
	Start, End int    // in characters; bytes once read
}

// Personal prints recall and precision by type.
func Personal(path string, out, errors io.Writer) ([]PersonalRate, error) {
	scanner, err := scan.New(scan.Options{})
	if err != nil {
		return nil, err
	}
	scratch := scan.NewScratch()
	rates := make([]PersonalRate, len(personalTypes))
	for i, t := range personalTypes {
		rates[i].Type = t.theirs
	}
	other := 0
	err = eachLine(path, func(line []byte) error {
		var s struct {
			Text  string         `json:"text"`
			Spans []personalSpan `json:"spans"`
		}
		if err := json.Unmarshal(line, &s); err != nil {
			return err
		}
		toBytes(s.Text, s.Spans)
		findings, _ := scanner.Scan(scratch, []byte(s.Text), scan.FromUser)
		for i, t := range personalTypes {
			rates[i].count(s.Text, s.Spans, findings, t.theirs, t.ours, errors)
		}
		for _, f := range findings {
			known := slices.ContainsFunc(personalTypes[:], func(t struct{ theirs, ours string }) bool { return t.ours == f.Name })
			if !known {
				other++
				if errors != nil {
					fmt.Fprintf(errors, "other  %s %q\n", f.Name, s.Text[f.Start:f.End])
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, r := range rates {
		fmt.Fprintf(out, "%-18s recall %3d of %3d %6.1f %%   precision %3d of %3d %6.1f %%\n", r.Type, r.Found, r.Spans, percent(r.Found, r.Spans), r.RightFinding, r.Findings, percent(r.RightFinding, r.Findings))
	}
	fmt.Fprintf(out, "findings of other names: %d\n", other)
	return rates, nil
}

func percent(a, b int) float64 { return 100 * float64(a) / max(1, float64(b)) }

// toBytes turns places in characters into places in bytes.
func toBytes(text string, spans []personalSpan) {
	var at []int
	for i := range text {
		at = append(at, i)
	}
	at = append(at, len(text))
	for i := range spans {
		spans[i].Start, spans[i].End = at[min(spans[i].Start, len(at)-1)], at[min(spans[i].End, len(at)-1)]
	}
}

func (r *PersonalRate) count(text string, spans []personalSpan, findings []scan.Finding, theirs, ours string, errors io.Writer) {
	for _, s := range spans {
		if s.Type != theirs {
			continue
		}
		r.Spans++
		if slices.ContainsFunc(findings, func(f scan.Finding) bool { return f.Name == ours && overlap(s, f) }) {
			r.Found++
		} else if errors != nil {
			fmt.Fprintf(errors, "missed %s %q in %q\n", theirs, text[s.Start:s.End], strings.Join(strings.Fields(text), " "))
		}
	}
	for _, f := range findings {
		if f.Name != ours {
			continue
		}
		r.Findings++
		if slices.ContainsFunc(spans, func(s personalSpan) bool { return s.Type == theirs && overlap(s, f) }) {
			r.RightFinding++
		} else if errors != nil {
			fmt.Fprintf(errors, "wrong  %s %q in %q\n", ours, text[f.Start:f.End], strings.Join(strings.Fields(text), " "))
		}
	}
}

func overlap(s personalSpan, f scan.Finding) bool {
	both := min(s.End, f.End) - max(s.Start, f.Start)
	return 2*both >= max(s.End-s.Start, f.End-f.Start)
}
