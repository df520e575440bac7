package scantrain

import (
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// Names of development data, which are beside the repository and no part of it.
const (
	textsData     = "injection-dev/texts.jsonl"
	sentencesData = "pii-dev/sentences.jsonl"
)

// The shipped scanner must not get worse than recorded. The model was trained on these texts: what it does on others is measured by `scantrain evaluate`.
func TestShippedFloors(t *testing.T) {
	texts := testkit.SharedData(t, textsData)
	rates, err := Resubstitute(texts, scan.FromUser, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rates {
		switch {
		case r.Source == "all" && r.Label == 1 && r.Percent() < 70:
			t.Errorf("%.2f %% of attacks are found; 72.9 %% were", r.Percent())
		case r.Source == "all" && r.Label == 0 && r.Percent() > 0.8:
			t.Errorf("%.2f %% of benign texts are flagged; 0.56 %% were", r.Percent())
		case r.Source == "notinject" && r.Percent() > 2:
			t.Errorf("%.2f %% of NotInject is flagged; none was", r.Percent())
		}
	}
}

// By source, on every fourth text: the whole takes half a minute and is the command's.
func TestCrossValidationFloors(t *testing.T) {
	texts := testkit.SharedData(t, textsData)
	if testing.Short() {
		t.Skip("trains models")
	}
	all, err := ReadTexts(texts)
	if err != nil {
		t.Fatal(err)
	}
	scanner, err := scan.New(scan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var some []Text
	for i := 0; i < len(all); i += 4 {
		some = append(some, all[i])
	}
	rates := tally(crossValidate(observe(scanner, some), io.Discard))
	for _, r := range rates {
		if r.Source == "all" && (r.Label == 1 && r.Percent() < 60 || r.Label == 0 && r.Percent() > 3) {
			t.Errorf("label %d: %.2f %% flagged", r.Label, r.Percent())
		}
	}
}

func TestPersonalFloors(t *testing.T) {
	sentences := testkit.SharedData(t, sentencesData)
	rates, err := Personal(sentences, io.Discard, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rates {
		if percent(r.Found, r.Spans) < 90 || percent(r.RightFinding, r.Findings) < 95 {
			t.Errorf("%+v", r)
		}
	}
}

// Training twice gives the same file, byte for byte, and the scanner computes the logits that the trainer does.
func TestTrainingIsDeterministic(t *testing.T) {
	cfg := Config{Texts: []string{"testdata/tiny.jsonl"}, Progress: io.Discard}
	a, err := Train(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Train(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Fatal("two trainings differ")
	}
	trained, err := scan.New(scan.Options{Model: a})
	if err != nil {
		t.Fatal(err)
	}
	examples, err := load(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, scratch, compared := train(examples), scan.NewScratch(), 0
	for i := range examples {
		e := trained.Explain(scratch, []byte(examples[i].Text.Text))
		if !e.Found {
			continue
		}
		compared++
		// Weights are rounded to eight bits.
		if want := l.worst(&examples[i]); float64(e.Logit) < want-0.2 || float64(e.Logit) > want+0.2 {
			t.Errorf("%q: the scanner says %.3f, the trainer %.3f", examples[i].Text.Text, e.Logit, want)
		}
	}
	if compared == 0 {
		t.Error("no text was compared")
	}
}

func TestBadCorpora(t *testing.T) {
	f := func(content string) {
		t.Helper()
		path := t.TempDir() + "/texts.jsonl"
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadTexts(path); err == nil {
			t.Errorf("%q was read", content)
		}
	}
	f(`{"source":"a","label":2,"text":"t"}`)
	f(`{"label":1,"text":"t"}`)
	f(`nonsense`)
	if _, err := ReadTexts("/nowhere"); err == nil {
		t.Error("a file that is not there was read")
	}
}
