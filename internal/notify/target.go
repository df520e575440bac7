package notify

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// Receivers, as metrics call them.
const (
	receiverSlack   = "slack"
	receiverWebhook = "webhook"
	receiverLog     = "log"
)

// webhookTarget and slackTarget are how the vault calls receivers.
const (
	webhookTarget = "webhook"
	slackPrefix   = "slack:"
)

func slackTarget(channel string) string { return slackPrefix + channel }

// target is one receiver: a channel of Slack, or the webhook. Nothing that happens to one stops another.
type target struct {
	name     string
	receiver string
	gate     *gate
	results  *prometheus.CounterVec
	// deliver takes a post one step further and keeps in the vault how far that is. Its errors are *failure, or the vault's.
	deliver func(ctx context.Context, w *worker, post *vault.NoticePost) error
}

// worker sends the notices of one partition to one target. It belongs to one goroutine.
type worker struct {
	notifier *Notifier
	target   *target
	part     int
	// ended is the notice of which a request of this worker ended last, whatever came of it: it is not still on its way.
	ended [16]byte
}

// refusedAgain is when a message is tried again that the receiver finds unacceptable.
const refusedAgain = 10 * time.Minute

// run sends until ctx ends. What cannot be sent is tried again without end.
func (w *worker) run(ctx context.Context) {
	n, t := w.notifier, w.target
	log := n.deps.Log.With("receiver", t.name)
	wake, forget := n.listen()
	defer forget()
	wait, slow := newBackoff(), n.newSlowBackoff()
	for ctx.Err() == nil {
		post, ok, err := n.deps.Vault.NextPost(ctx, t.name, w.part, time.Now())
		if err == nil && ok {
			err = t.deliver(ctx, w, &post)
		}
		if ctx.Err() != nil {
			return
		}
		if ok || err != nil || n.metrics.waiting.any(t) { // else nobody was waiting before, and nobody is
			n.metrics.noteWaiting(ctx, n.deps.Vault, t)
		}
		var failed *failure
		switch {
		case err == nil && ok:
			wait, slow = newBackoff(), n.newSlowBackoff()
		case err == nil:
			pause(ctx, wake, n.cfg.PollEvery)
		case errors.As(err, &failed):
			d := failed.wait(wait, slow)
			log.Log(ctx, failed.level(), "an alert cannot be sent, trying again", "incident", incidentID(&post), "reason", failed.what, "in", d.Round(time.Millisecond))
			t.gate.block(d)
			pause(ctx, nil, t.gate.blocked())
		default:
			log.Warn("the state of alerts cannot be read or kept, trying again", "error", err)
			pause(ctx, nil, wait.NextBackOff())
		}
	}
}

// newSlowBackoff is for receivers that refuse for good.
func (n *Notifier) newSlowBackoff() *backoff.ExponentialBackOff {
	b := newBackoff()
	b.InitialInterval, b.MaxInterval = n.cfg.RefusedEvery, 5*n.cfg.RefusedEvery
	return b
}

// maxRetryAfter bounds what a receiver may ask for: beyond it something is wrong, and it is asked again.
const maxRetryAfter = 15 * time.Minute

// wait is how long nothing goes to the receiver. How long it asks for is not shortened; the backoff comes on top if it asks again and again.
func (f *failure) wait(soon, slow *backoff.ExponentialBackOff) time.Duration {
	switch f.kind {
	case rateLimited:
		return min(max(f.retryAfter, time.Second), maxRetryAfter)
	case refused:
		return slow.NextBackOff()
	}
	return soon.NextBackOff()
}

// result is the failure's label in metrics.
func (f *failure) result() string {
	switch f.kind {
	case rateLimited:
		return resultRateLimited
	case unavailable:
		return resultUnavailable
	}
	return resultRefused
}

// count counts a request by what became of it.
func (t *target) count(success string, err error) {
	var failed *failure
	if errors.As(err, &failed) {
		success = failed.result()
	} else if err != nil {
		success = resultUnavailable
	}
	t.results.WithLabelValues(success).Inc()
}

// postpone lets others go before a message that the receiver does not accept.
func (w *worker) postpone(ctx context.Context, post *vault.NoticePost, reason error) error {
	w.notifier.deps.Log.Error("a receiver does not accept an alert; others go on, and this one is tried again",
		"receiver", w.target.name, "incident", incidentID(post), "reason", reason, "in", refusedAgain)
	post.NotBefore, post.Posting, post.Telling = time.Now().Add(refusedAgain), time.Time{}, time.Time{}
	return w.keep(ctx, post)
}

func (w *worker) keep(ctx context.Context, post *vault.NoticePost) error {
	return w.notifier.deps.Vault.KeepPost(ctx, *post)
}

// sent notes that the receiver was told of what post was read as.
func (w *worker) sent(ctx context.Context, post *vault.NoticePost) error {
	first := post.SentVersion == 0
	post.SentVersion, post.SentRevision, post.NotBefore = post.Notice.Version, post.Notice.Revision, time.Time{}
	if err := w.keep(ctx, post); err != nil {
		return err
	}
	if first && post.Notice.Kind == vault.NoticeIncident {
		w.notifier.metrics.delivered(w.target.receiver, post.Notice.At)
	}
	return nil
}

// route returns which receivers are to be told of an incident, besides those that know of it. before is what was known of it.
func (n *Notifier) route(in *anomaly.Incident, before *vault.Notice, known bool) []string {
	var targets []string
	if n.webhook != nil {
		targets = append(targets, webhookTarget)
	}
	if n.slack == nil || in.Summarised {
		return targets
	}
	// One that has become less severe stays where it is, and is told nowhere else.
	if !known || before.Summarised || uint8(in.Severity) > before.Severity {
		targets = append(targets, slackTarget(n.channel(in.Severity)))
	}
	return targets
}

func (n *Notifier) channel(severity anomaly.Severity) string {
	if channel := n.cfg.Slack.Channels[severity]; channel != "" {
		return channel
	}
	return n.cfg.Slack.Channel
}

// reroute finds receivers of a partition's notices that are not configured any more. What they were not told goes to where it would go now; what they know
// already is not kept up to date.
func (n *Notifier) reroute(ctx context.Context, part int) error {
	targets, err := n.deps.Vault.WaitingTargets(ctx, part)
	if err != nil {
		return err
	}
	for _, name := range targets {
		if n.targets[name] != nil {
			continue
		}
		moved := 0
		for n.slack != nil && strings.HasPrefix(name, slackPrefix) {
			unsent, err := n.deps.Vault.Unsent(ctx, name, part, 100)
			if err != nil {
				return err
			}
			if len(unsent) == 0 {
				break
			}
			for i := range unsent {
				if err := n.deps.Vault.MovePost(ctx, unsent[i].ID, name, slackTarget(n.channel(anomaly.Severity(unsent[i].Severity)))); err != nil {
					return err
				}
			}
			moved += len(unsent)
		}
		settled, err := n.deps.Vault.SettlePosts(ctx, name, part)
		if err != nil {
			return err
		}
		n.deps.Log.Warn("a receiver of alerts is not configured any more", "receiver", name, "sent_elsewhere", moved, "not_sent", settled)
	}
	return nil
}
