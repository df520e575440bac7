package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

func incidentID(post *vault.NoticePost) uuid.UUID { return post.Notice.ID }

// level is how loudly a failure is logged: what somebody must mend is an error.
func (f *failure) level() slog.Level {
	if f.kind == refused {
		return slog.LevelError
	}
	return slog.LevelWarn
}

// deliverToSlack takes a post one step further: its message, or the details in its thread.
func (n *Notifier) deliverToSlack(ctx context.Context, w *worker, post *vault.NoticePost) error {
	if post.Notice.Kind == vault.NoticeDigest {
		var d digest
		if err := json.Unmarshal([]byte(post.Notice.Body), &d); err != nil {
			return w.postpone(ctx, post, fmt.Errorf("digest: %w", err))
		}
		m := d.message()
		post.ToldVersion = post.Notice.Version // there are no details
		return n.sendLive(ctx, w, post, &m)
	}
	in, err := anomaly.ParseIncident([]byte(post.Notice.Body))
	if err != nil {
		return w.postpone(ctx, post, err)
	}
	if post.SentVersion < post.Notice.Version {
		m := live(&shown{incident: in, verdict: post.Notice.Verdict, identity: n.identity(ctx, &in), buttons: n.cfg.Slack.SigningSecret != ""})
		return n.sendLive(ctx, w, post, &m)
	}
	return n.sendDetails(ctx, w, post, &in)
}

// identity is whom the incident is about, if it is to be shown and somebody tells.
func (n *Notifier) identity(ctx context.Context, in *anomaly.Incident) string {
	if !n.cfg.Slack.ShowIdentities || n.deps.Reveal == nil || in.Subject == uuid.Nil {
		return ""
	}
	name, err := n.deps.Reveal(ctx, in.Tenant, in.Subject)
	if err != nil {
		n.deps.Log.Warn("who a pseudonym is was not told; the alert goes without", "incident", in.ID, "error", err)
		return ""
	}
	return name
}

// sendLive posts or updates the message of a notice.
func (n *Notifier) sendLive(ctx context.Context, w *worker, post *vault.NoticePost, m *message) error {
	if post.TS != "" {
		return n.updateLive(ctx, w, post, m)
	}
	channel := n.channelOf(w.target, post)
	if !post.Posting.IsZero() {
		found, err := n.lookUp(ctx, w, post, m)
		if err != nil || found {
			return err
		}
	}
	if err := w.target.gate.wait(ctx); err != nil {
		return err
	}
	// From here on, until the answer is stored, nobody knows whether the message is there. Whoever goes on after a crash looks it up.
	post.Posting = time.Now()
	if err := w.keep(ctx, post); err != nil {
		return err
	}
	at, err := w.try(m, post, func(m *message) (place, error) { return n.slack.post(ctx, channel, m) }, resultPosted)
	if err != nil {
		return w.failedToPost(ctx, post, &post.Posting, err)
	}
	n.noteChannel(w.target, at.channel)
	post.Channel, post.TS, post.Posting = at.channel, at.ts, time.Time{}
	return w.sent(ctx, post)
}

// try sends a message, and if Slack finds it unacceptable, its first line alone: a mistake in how a message is made must not keep an alert back.
func (w *worker) try(m *message, post *vault.NoticePost, send func(m *message) (place, error), success string) (place, error) {
	at, err := send(m)
	w.target.gate.rest()
	w.ended = post.Notice.ID
	w.target.count(success, err)
	var failed *failure
	if !errors.As(err, &failed) || failed.kind != unacceptable {
		return at, err
	}
	w.notifier.deps.Log.Error("Slack does not accept a message; its first line is sent alone", "incident", incidentID(post), "reason", failed.what)
	bare := *m
	bare.blocks = nil
	at, err = send(&bare)
	w.target.count(success, err)
	return at, err
}

// failedToPost forgets that a message was begun if it is certain that it is not there.
func (w *worker) failedToPost(ctx context.Context, post *vault.NoticePost, begun *time.Time, err error) error {
	var failed *failure
	if !errors.As(err, &failed) {
		return err
	}
	if failed.kind == unacceptable {
		return w.postpone(ctx, post, err)
	}
	if !failed.unknown {
		*begun = time.Time{}
		if err := w.keep(ctx, post); err != nil {
			return err
		}
	}
	return err
}

// lookUp looks for a message that may have been posted, and returns true if it is there and that is stored.
func (n *Notifier) lookUp(ctx context.Context, w *worker, post *vault.NoticePost, m *message) (bool, error) {
	w.awaitEnd(ctx, post, post.Posting)
	at, revision, err := n.slack.find(ctx, n.channelOf(w.target, post), m.metadata, post.Posting, w.target.gate.wait)
	switch {
	case n.cannotLook(w, post, err):
		return false, nil
	case err != nil:
		w.target.count("", err)
		return false, err
	case at.ts == "":
		return false, nil
	}
	w.target.count(resultFound, nil)
	post.Channel, post.TS, post.Posting = at.channel, at.ts, time.Time{}
	if revision == post.Notice.Revision && post.Notice.Verdict.At.IsZero() {
		return true, w.sent(ctx, post)
	}
	// It shows an earlier version: which one does not matter.
	post.SentVersion, post.SentRevision = max(1, post.Notice.Version-1), revision
	n.metrics.delivered(w.target.receiver, post.Notice.At)
	return true, w.keep(ctx, post)
}

// awaitEnd waits until a request that another process may have begun has ended, so that it does not take effect after it was looked for.
func (w *worker) awaitEnd(ctx context.Context, post *vault.NoticePost, begun time.Time) {
	if w.ended != post.Notice.ID {
		pause(ctx, nil, min(time.Until(begun.Add(w.notifier.cfg.RequestTimeout)), w.notifier.cfg.RequestTimeout))
	}
}

// cannotLook says that what was posted cannot be looked up, because the app may not or there is too much. Then the message is posted again: twice is
// better than never.
func (n *Notifier) cannotLook(w *worker, post *vault.NoticePost, err error) bool {
	var failed *failure
	if !errors.Is(err, errTooMuch) && (!errors.As(err, &failed) || failed.kind != refused && failed.kind != unacceptable) {
		return false
	}
	w.target.count(resultRefused, nil)
	n.deps.Log.Error("whether an alert was posted cannot be looked up, so it is posted, maybe for the second time; the app needs the scope channels:history, or groups:history in a private channel",
		"receiver", w.target.name, "incident", incidentID(post), "reason", err)
	return true
}

// updateLive changes the message that is there.
func (n *Notifier) updateLive(ctx context.Context, w *worker, post *vault.NoticePost, m *message) error {
	if err := w.target.gate.wait(ctx); err != nil {
		return err
	}
	at := place{post.Channel, post.TS}
	_, err := w.try(m, post, func(m *message) (place, error) { return at, n.slack.update(ctx, at, m) }, resultUpdated)
	var failed *failure
	switch {
	case err == nil:
		return w.sent(ctx, post)
	case !errors.As(err, &failed):
		return err
	case failed.kind == gone:
		n.deps.Log.Warn("the message of an incident was deleted in Slack, so it is posted anew", "receiver", w.target.name, "incident", incidentID(post))
		post.TS, post.SentVersion, post.SentRevision, post.Told, post.Posting = "", 0, 0, "", time.Time{}
		return w.keep(ctx, post)
	case failed.kind == frozen:
		n.deps.Log.Warn("the message of an incident cannot be changed; its thread says what is new", "receiver", w.target.name, "incident", incidentID(post), "reason", failed.what)
		return w.sent(ctx, post)
	case failed.kind == unacceptable:
		return w.postpone(ctx, post, err)
	}
	return err // repeating an update does no harm
}

// sendDetails brings the thread up to date.
func (n *Notifier) sendDetails(ctx context.Context, w *worker, post *vault.NoticePost, in *anomaly.Incident) error {
	state := threadState(in)
	done := func() error {
		post.Told, post.ToldVersion, post.Telling = state, post.Notice.Version, time.Time{}
		return w.keep(ctx, post)
	}
	if post.Told == state || post.TS == "" {
		return done()
	}
	m := details(in)
	thread := place{post.Channel, post.TS}
	if !post.Telling.IsZero() {
		w.awaitEnd(ctx, post, post.Telling)
		found, err := n.slack.findReply(ctx, thread, m.metadata, w.target.gate.wait)
		if err == nil && found {
			w.target.count(resultFound, nil)
			return done()
		}
		if err != nil && !n.cannotLook(w, post, err) {
			w.target.count("", err)
			return err
		}
	}
	if err := w.target.gate.wait(ctx); err != nil {
		return err
	}
	post.Telling = time.Now()
	if err := w.keep(ctx, post); err != nil {
		return err
	}
	broadcast := post.Told != "" && rose(post.Told, in)
	_, err := w.try(&m, post, func(m *message) (place, error) { return n.slack.reply(ctx, thread, m, broadcast) }, resultReplied)
	var failed *failure
	if errors.As(err, &failed) && (failed.kind == gone || failed.kind == frozen) {
		return done() // there is nowhere to tell it
	}
	if err != nil {
		return w.failedToPost(ctx, post, &post.Telling, err)
	}
	return done()
}

// channelOf is the channel's id, if it is known: history and updates do not take a name.
func (n *Notifier) channelOf(t *target, post *vault.NoticePost) string {
	if post.Channel != "" {
		return post.Channel
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if id := n.channelIDs[t.name]; id != "" {
		return id
	}
	return strings.TrimPrefix(t.name, slackPrefix)
}

func (n *Notifier) noteChannel(t *target, id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.channelIDs[t.name] = id
}
