package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/agentaudit/agentaudit/pkg/anomaly/rules"
)

// alertsCommands is the group `alerts`.
type alertsCommands struct {
	List          alertsListCommand          `cmd:"" default:"withargs" help:"Print alerts, the latest first."`
	Acknowledge   alertsAcknowledgeCommand   `cmd:"" help:"Say that somebody looks after an alert."`
	Snooze        alertsSnoozeCommand        `cmd:"" help:"Say nothing more of whom an alert is about for a while."`
	FalsePositive alertsFalsePositiveCommand `cmd:"" help:"Say that an alert was none: the bar for its signals and whom it is about rises."`
	Suppress      alertsSuppressCommand      `cmd:"" help:"Say nothing of a user, an agent, a producer or a tenant until a time."`
	Unsuppress    alertsUnsuppressCommand    `cmd:"" help:"End what suppress, snooze and false-positive have begun."`
	Rules         alertsRulesCommand         `cmd:"" help:"Print the built-in rules, or check a file of rules."`
}

type alertsRulesCommand struct {
	Print bool   `help:"Print the built-in rules as a file, with what there is to say about each." xor:"what" required:""`
	Check string `help:"Check a rules file and the lists that it names, and print the rules that would be in effect with it." xor:"what" required:"" placeholder:"FILE" type:"path"`
	JSON  bool   `help:"With --check: print the rules, or what is wrong, as JSON."`
}

// Help is printed by `alerts rules --help`.
func (alertsRulesCommand) Help() string {
	return `Rules say what is wrong whatever is usual: conditions on single events and on what somebody does in a minute, an hour or a day. docs/detection.md describes the
file; detector.rules_file names it. --check prints all mistakes with their lines, and the exit code is 1 then. Neither needs a deployment.`
}

// ruleLine is a rule in `alerts rules --check --json`.
type ruleLine struct {
	ID          string   `json:"id"`
	Title       string   `json:"title"`
	Severity    string   `json:"severity"`
	Expected    string   `json:"expected"`
	On          []string `json:"on,omitempty"`
	Of          string   `json:"of,omitempty"`
	Over        string   `json:"over,omitempty"`
	Condition   string   `json:"condition"`
	SuppressFor string   `json:"suppress_for"`
	Enabled     bool     `json:"enabled"`
	BuiltIn     bool     `json:"builtin"`
}

// mistakeLine is a mistake there.
type mistakeLine struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Rule   string `json:"rule,omitempty"`
	Reason string `json:"reason"`
}

func (c *alertsRulesCommand) Run(w *world) error {
	if c.Print {
		_, err := w.stdout.Write(rules.BuiltInText())
		return err
	}
	set, err := rules.Load(c.Check)
	var mistakes rules.Mistakes
	switch {
	case errors.As(err, &mistakes):
		return c.wrong(w, mistakes)
	case err != nil:
		return err
	}
	var lines []ruleLine
	for i := range set.Len() {
		lines = append(lines, ruleLineOf(set.Rule(i)))
	}
	if c.JSON {
		return json.NewEncoder(w.stdout).Encode(struct {
			OK    bool       `json:"ok"`
			Rules []ruleLine `json:"rules"`
		}{true, lines})
	}
	enabled := 0
	for _, l := range lines {
		state, from := "off", "own"
		if l.Enabled {
			state = "on"
			enabled++
		}
		if l.BuiltIn {
			from = "built-in"
		}
		where := "on " + strings.Join(l.On, ", ")
		if l.Of != "" {
			where = "of a " + l.Of + " over " + l.Over
		}
		if _, err := fmt.Fprintf(w.stdout, "%-24s %-8s %-3s %-8s %-28s %s\n", l.ID, l.Severity, state, from, where, printable(l.Title)); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(w.stdout, "good: %d rules, %d of them on\n", len(lines), enabled)
	return err
}

// wrong prints what is wrong with a file, which is an answer and no failure.
func (c *alertsRulesCommand) wrong(w *world, mistakes rules.Mistakes) error {
	if c.JSON {
		var lines []mistakeLine
		for _, m := range mistakes {
			lines = append(lines, mistakeLine(m))
		}
		if err := json.NewEncoder(w.stdout).Encode(struct {
			OK       bool          `json:"ok"`
			Mistakes []mistakeLine `json:"mistakes"`
		}{false, lines}); err != nil {
			return err
		}
		return errNo
	}
	for _, m := range mistakes {
		if _, err := fmt.Fprintln(w.stdout, printable(m.String())); err != nil {
			return err
		}
	}
	return errNo
}

func ruleLineOf(r rules.Rule) ruleLine {
	l := ruleLine{ID: r.ID, Title: r.Title, Severity: r.Severity.String(), Expected: r.Expected, On: r.On, Condition: r.Event,
		SuppressFor: r.SuppressFor.String(), Enabled: r.Enabled, BuiltIn: r.BuiltIn}
	if r.Window != nil {
		l.Of, l.Over, l.Condition = string(r.Window.Of), r.Window.Over.String(), r.Window.When
	}
	return l
}
