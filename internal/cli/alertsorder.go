package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/alert"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

type alertsAcknowledgeCommand struct {
	ID string `arg:"" help:"Of the alert, as 'alerts' prints it."`
}

type alertsSnoozeCommand struct {
	ID  string        `arg:"" help:"Of the alert, as 'alerts' prints it."`
	For time.Duration `default:"1h" help:"For how long: 30m, 8h; 2160h at most."`
}

type alertsFalsePositiveCommand struct {
	ID string `arg:"" help:"Of the alert, as 'alerts' prints it."`
}

// whom says whom a suppression is about.
type whom struct {
	Tenant   string `required:"" help:"Of this tenant." placeholder:"T"`
	User     string `help:"The user_id as producers send it." placeholder:"U" xor:"whom"`
	Subject  string `help:"The user's pseudonym." placeholder:"ID" xor:"whom"`
	Agent    string `help:"The agent's id." placeholder:"A" xor:"whom"`
	Producer string `help:"The producer's id." placeholder:"P" xor:"whom"`
	Signal   string `help:"Only this signal, such as rate.cost, or a family, such as novel.*. Default: all." placeholder:"S"`
}

type alertsSuppressCommand struct {
	whom
	For time.Duration `required:"" help:"For how long: 8h, 168h; 2160h at most."`
}

type alertsUnsuppressCommand struct{ whom }

// Help is printed by `alerts suppress --help`.
func (alertsSuppressCommand) Help() string {
	return `Without --user, --subject, --agent or --producer it is about alerts on the tenant as a whole. What is suppressed is noticed and learned all the same; nothing is
said. Every suppression ends by itself. It is signed and stands in the log.`
}

func (c *alertsAcknowledgeCommand) Run(ctx context.Context, w *world) error {
	return w.answer(ctx, c.ID, alert.Order{Verb: alert.Acknowledge}, "acknowledged")
}

func (c *alertsFalsePositiveCommand) Run(ctx context.Context, w *world) error {
	return w.answer(ctx, c.ID, alert.Order{Verb: alert.FalsePositive}, "noted as a false positive")
}

func (c *alertsSnoozeCommand) Run(ctx context.Context, w *world) error {
	return w.answer(ctx, c.ID, alert.Order{Verb: alert.Snooze, Until: time.Now().Add(c.For)}, "snoozed")
}

// noticeDelay is by how much an alert that stands in ClickHouse may be ahead of the vault, which also knows it: two processes read the topic of alerts.
const (
	noticeDelay = 3 * time.Second
	noticePoll  = 150 * time.Millisecond
)

// answer orders something about one alert, and has its message in Slack say so.
func (w *world) answer(ctx context.Context, id string, order alert.Order, done string) error {
	incident, err := uuid.Parse(id)
	if err != nil {
		return fmt.Errorf("%q is not the id of an alert", id)
	}
	order.Incident = incident
	known := func(ctx context.Context, v *vault.Vault, _ *alert.Order) error {
		for wait := time.Duration(0); wait < noticeDelay; wait += noticePoll {
			notice, ok, err := v.Notice(ctx, incident)
			if err != nil || ok && notice.Kind == vault.NoticeIncident {
				return err
			}
			select {
			case <-time.After(noticePoll):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return fmt.Errorf("no alert has the id %s: 'agentaudit alerts' prints those that there are", incident)
	}
	show := func(ctx context.Context, v *vault.Vault, o *alert.Order) error {
		_, err := v.SetVerdict(ctx, incident, vault.NoticeVerdict{Verdict: o.Verb.Status(), By: o.By, Until: o.Until, At: o.At})
		return err
	}
	if err := w.order(ctx, order, known, show); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.stdout, "%s: %s\n", incident, done)
	return err
}

func (c *alertsSuppressCommand) Run(ctx context.Context, w *world) error {
	until := time.Now().Add(c.For)
	if err := w.order(ctx, alert.Order{Verb: alert.Suppress, Until: until}, c.fill); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w.stdout, "suppressed until %s\n", until.UTC().Format(time.RFC3339))
	return err
}

func (c *alertsUnsuppressCommand) Run(ctx context.Context, w *world) error {
	if err := w.order(ctx, alert.Order{Verb: alert.Unsuppress}, c.fill); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w.stdout, "nothing of it is suppressed from now on")
	return err
}

// orderStep is done with the vault before an order is said, or after it.
type orderStep func(ctx context.Context, v *vault.Vault, order *alert.Order) error

// order signs an order and sends it to the topic of system records, from where the detector hears it and ingest seals it. before completes or refuses it.
func (w *world) order(ctx context.Context, order alert.Order, before orderStep, after ...orderStep) error {
	cfg, err := w.config()
	if err != nil {
		return err
	}
	signer, err := process.ExporterAuthor(cfg)
	if err != nil {
		return err
	}
	systems, err := process.OpenWithoutStore(ctx, cfg, kafkaio.Deps{})
	if err != nil {
		return w.running(err)
	}
	defer systems.Close()
	order.At, order.By = time.Now(), byCommandLine
	if err := before(ctx, systems.Vault, &order); err != nil {
		return err
	}
	// Whoever never ran an exporter has an author that nobody knows.
	if err := signer.Register(ctx, systems.Vault); err != nil && !errors.Is(err, vault.ErrExists) {
		return err
	}
	if err := process.SayOrder(ctx, systems.Kafka, cfg.Ingest.Topics.System, signer, &order); err != nil {
		return w.running(err)
	}
	for _, step := range after {
		if err := step(ctx, systems.Vault, &order); err != nil {
			return err
		}
	}
	return nil
}

// isSignal tells whether this is a signal or a family of them. Of a name that no signal can have nothing would ever be held back.
func isSignal(name string) bool {
	return regexp.MustCompile(`^(` + strings.Join(anomaly.SignalFamilies(), "|") + `)(\.[a-z0-9_-]+)*(\.[a-z0-9_-]+|\.\*)$`).MatchString(name)
}

func (o *whom) fill(ctx context.Context, v *vault.Vault, order *alert.Order) error {
	if o.Signal != "" && !isSignal(o.Signal) {
		return fmt.Errorf("--signal: %q is no signal: write rate.cost, novel.* or rule.budget.cost, as alerts name them", o.Signal)
	}
	order.Tenant, order.Signal, order.Kind = o.Tenant, o.Signal, anomaly.EntityTenant
	switch {
	case o.User != "":
		subject, err := pseudonymOf(ctx, v, vault.Identity{Tenant: o.Tenant, User: o.User})
		if err != nil {
			return err
		}
		order.Kind, order.Subject = anomaly.EntitySubject, uuid.UUID(subject)
	case o.Subject != "":
		subject, err := uuid.Parse(o.Subject)
		if err != nil {
			return fmt.Errorf("--subject: %q is no pseudonym", o.Subject)
		}
		order.Kind, order.Subject = anomaly.EntitySubject, subject
	case o.Agent != "":
		order.Kind, order.Entity = anomaly.EntityAgent, o.Agent
	case o.Producer != "":
		order.Kind, order.Entity = anomaly.EntityProducer, o.Producer
	}
	return nil
}
