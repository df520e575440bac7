// Command scantrain measures the scanner of pkg/scan and trains its model.
//
//	go run ./internal/scantrain/cmd/scantrain -texts FILE [-benign FILE] [-errors | -rules-only] evaluate
//	go run ./internal/scantrain/cmd/scantrain -texts FILE [-benign FILE] -out pkg/scan/model.bin train
//	go run ./internal/scantrain/cmd/scantrain -sentences FILE [-errors] pii
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/agentaudit/agentaudit/internal/scantrain"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "scantrain:", err)
		os.Exit(2)
	}
}

func run() error {
	texts := flag.String("texts", "", "labelled texts, JSON Lines of source, label (1: attack), text")
	benign := flag.String("benign", "", "benign texts to train on as well")
	sentences := flag.String("sentences", "", "sentences with the spans of personal data, JSON Lines")
	out := flag.String("out", "", "the model file to write")
	wrong := flag.Bool("errors", false, "print what was judged wrongly")
	rulesOnly := flag.Bool("rules-only", false, "only what the rules find by themselves")
	flag.Parse()

	cfg := scantrain.Config{Texts: []string{*texts}, Errors: *wrong, RulesOnly: *rulesOnly, Progress: os.Stderr}
	if *benign != "" {
		cfg.Benign = []string{*benign}
	}
	switch command := flag.Arg(0); command {
	case "evaluate":
		if _, err := scantrain.CrossValidate(cfg, os.Stdout); err != nil {
			return err
		}
		_, err := scantrain.Resubstitute(*texts, scan.FromUser, os.Stdout)
		return err
	case "train":
		if *out == "" {
			return errors.New("-out is missing")
		}
		model, err := scantrain.Train(cfg)
		if err != nil {
			return err
		}
		return os.WriteFile(*out, model, 0o644) //nolint:gosec // part of the source
	case "pii":
		var details io.Writer
		if *wrong {
			details = os.Stdout
		}
		_, err := scantrain.Personal(*sentences, os.Stdout, details)
		return err
	default:
		return fmt.Errorf("%q is none of evaluate, train, pii", command)
	}
}
