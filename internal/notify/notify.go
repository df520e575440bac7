package notify

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// Notifier brings incidents to people. Several of them share the topic's partitions.
type Notifier struct {
	cfg     Config
	deps    Deps
	group   *kafkaio.Group
	metrics *metrics
	slack   *slackClient // nil: Slack is off
	webhook *webhook     // nil: there is none
	targets map[string]*target
	actions *actions

	// mu guards what follows.
	mu         sync.Mutex
	channelIDs map[string]string // target: the channel's id, as Slack answered last
	wakes      map[chan struct{}]struct{}
}

// New checks the configuration. It starts nothing and connects to nothing.
func New(cfg Config, deps Deps) (*Notifier, error) {
	n, err := newNotifier(cfg, deps, nil)
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	n.group, err = deps.Kafka.NewGroup(kafkaio.GroupConfig{ID: cfg.Group, Topics: []string{cfg.Topic}})
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	return n, nil
}

// newNotifier makes all but what reads Kafka.
func newNotifier(cfg Config, deps Deps, dial dialer) (n *Notifier, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n = &Notifier{cfg: cfg, deps: deps, targets: make(map[string]*target), channelIDs: make(map[string]string), wakes: make(map[chan struct{}]struct{})}
	first := receiverLog
	if cfg.Webhook.URL != "" {
		first = receiverWebhook
	}
	if cfg.Slack.Token != "" {
		first = receiverSlack
	}
	if n.metrics, err = newMetrics(deps.Metrics, first); err != nil {
		return nil, err
	}
	if cfg.Slack.Token != "" {
		if n.slack, err = newSlackClient(cfg.Slack, cfg.RequestTimeout, dial); err != nil {
			return nil, err
		}
		for severity := anomaly.Low; severity <= anomaly.Critical; severity++ {
			n.addSlack(n.channel(severity))
		}
		n.addSlack(cfg.Slack.Channel) // of the digest
	} else {
		deps.Log.Info("Slack is off: alerts are printed here and stored; detector.slack.token_file turns it on")
	}
	if cfg.Webhook.URL != "" {
		if n.webhook, err = newWebhook(cfg.Webhook, cfg.RequestTimeout, dial); err != nil {
			return nil, err
		}
		n.targets[webhookTarget] = &target{name: webhookTarget, receiver: receiverWebhook, gate: newGate(0), results: n.metrics.webhook, deliver: n.deliverToWebhook}
	}
	for _, t := range n.targets {
		n.metrics.waiting.note(t, 0, time.Time{})
	}
	n.actions = newActions(n)
	return n, nil
}

func (n *Notifier) addSlack(channel string) {
	name := slackTarget(channel)
	if n.targets[name] == nil {
		n.targets[name] = &target{name: name, receiver: receiverSlack, gate: newGate(slackEvery), results: n.metrics.slack, deliver: n.deliverToSlack}
	}
}

// Run reads incidents and brings them to the receivers until ctx ends, and returns nil then. What was read and not sent is in the vault; the next Run sends it.
func (n *Notifier) Run(ctx context.Context) error {
	defer n.close()
	return n.group.Run(ctx, func(ctx context.Context, a kafkaio.Assignment) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { // ends with ctx
			r := &reader{notifier: n, assigned: a, log: n.deps.Log.With("topic", a.Topic, "partition", a.Partition)}
			r.run(ctx)
			return nil
		})
		n.send(ctx, group, a.Partition)
		return group.Wait()
	})
}

// send starts what sends the notices of one partition, in group. All of it ends with ctx.
func (n *Notifier) send(ctx context.Context, group *errgroup.Group, part int) {
	group.Go(func() error { // ends with ctx
		n.rerouteAll(ctx, part)
		for _, t := range n.targets {
			w := &worker{notifier: n, target: t, part: part}
			group.Go(func() error { // ends with ctx
				w.run(ctx)
				return nil
			})
		}
		return nil
	})
	if part != 0 {
		return // one is enough for what follows
	}
	group.Go(func() error { // ends with ctx
		n.digests(ctx, part)
		return nil
	})
	group.Go(func() error { // ends with ctx
		n.sweep(ctx)
		return nil
	})
}

// rerouteAll is reroute, tried until it succeeds.
func (n *Notifier) rerouteAll(ctx context.Context, part int) {
	wait := newBackoff()
	for {
		err := n.reroute(ctx, part)
		if err == nil || ctx.Err() != nil {
			return
		}
		n.deps.Log.Warn("what alerts wait for whom cannot be read, trying again", "error", err)
		pause(ctx, nil, wait.NextBackOff())
	}
}

// sweepEvery is how often old state is deleted, and what is left is looked at.
const sweepEvery = time.Hour

func (n *Notifier) sweep(ctx context.Context) {
	for ctx.Err() == nil {
		mended, err := n.deps.Vault.MendPosts(ctx, time.Now())
		switch {
		case err != nil && ctx.Err() == nil:
			n.deps.Log.Warn("it cannot be told whether what receivers were told was changed by somebody, looking again in an hour", "error", err)
		case mended > 0:
			n.deps.Log.Error("somebody without the keyring has written how far receivers of alerts are; they are told anew", "messages", mended)
			n.wake()
		}
		deleted, err := n.deps.Vault.DeleteNotices(ctx, time.Now().Add(-n.cfg.Retention))
		switch {
		case err != nil && ctx.Err() == nil:
			n.deps.Log.Warn("old state of alerts cannot be deleted, trying again in an hour", "error", err)
		case deleted > 0:
			n.deps.Log.Info("old state of alerts was deleted", "incidents", deleted)
		}
		pause(ctx, nil, sweepEvery)
	}
}

// close ends idle connections.
func (n *Notifier) close() {
	if n.slack != nil {
		n.slack.http.CloseIdleConnections()
	}
	if n.webhook != nil {
		n.webhook.http.CloseIdleConnections()
	}
}

// listen returns a channel that wake sends to. forget must be called.
func (n *Notifier) listen() (wake <-chan struct{}, forget func()) {
	c := make(chan struct{}, 1)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wakes[c] = struct{}{}
	return c, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.wakes, c)
	}
}

// wake has all workers look for work.
func (n *Notifier) wake() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.wakes {
		select {
		case c <- struct{}{}:
		default: // it will look anyway
		}
	}
}

// accept keeps a revision of an incident and has its receivers told. old: it is from before anybody was to be told, so nobody is.
func (n *Notifier) accept(ctx context.Context, in *anomaly.Incident, part int, age recordAge) (result string, err error) {
	body, err := anomaly.MarshalIncident(in)
	if err != nil {
		return recordRejected, nil //nolint:nilerr // it is what a record says, and trying again changes nothing
	}
	before, known, err := n.deps.Vault.Notice(ctx, in.ID)
	if err != nil {
		return "", err
	}
	var targets []string
	if known || age == recent {
		targets = n.route(in, &before, known)
	}
	changed, err := n.deps.Vault.KeepNotice(ctx, vault.Notice{
		ID: in.ID, Kind: vault.NoticeIncident, Part: part, Revision: in.Revision, Severity: uint8(in.Severity), Status: string(in.Status), Summarised: in.Summarised,
		Tenant: clean(in.Tenant, maxKeptTenant), At: in.Time, Changed: time.Now(), Body: string(body),
	}, targets)
	if err != nil {
		return "", err
	}
	if !changed {
		return recordRepeated, nil
	}
	if n.slack == nil && age == recent {
		n.print(ctx, in, &before, known)
	}
	n.wake()
	return recordAccepted, nil
}

// maxKeptTenant is longer than a tenant can be in an event.
const maxKeptTenant = 256

// print says on one line of the log what Slack would be told: what is new, has become more severe, or is final or withdrawn.
func (n *Notifier) print(ctx context.Context, in *anomaly.Incident, before *vault.Notice, known bool) {
	if known && uint8(in.Severity) <= before.Severity && string(in.Status) == before.Status {
		return
	}
	subject := in.Entity
	if in.Kind == anomaly.EntitySubject {
		subject = in.Subject.String()
	}
	n.deps.Log.WarnContext(ctx, "alert", "severity", in.Severity.String(), "title", clean(in.Title, maxHeaderRunes), "tenant", clean(in.Tenant, maxName), "status", string(in.Status),
		string(in.Kind), clean(subject, maxName), "incident", in.ID, "cost_usd", in.CostUSD, "entries", in.EventCount)
	if !known && n.metrics.first == receiverLog {
		n.metrics.delivered(receiverLog, in.Time)
	}
}
