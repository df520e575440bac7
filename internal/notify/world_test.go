package notify

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/notify/slacktest"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// world is a Slack, a vault and notifiers without Kafka, in a bubble of synctest.
type world struct {
	t       *testing.T
	vault   *vault.Vault
	dir     string // where the vault is
	slack   *slacktest.Server
	network *pipes
	cfg     Config
	deps    Deps
	n       *Notifier
	stopped func()
}

const (
	alerts = "C0ALERTS"
	oncall = "C0ONCALL"
	token  = "xoxb-1"
)

func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := &world{t: t, vault: openVaultIn(t, dir), dir: dir, slack: slacktest.New(token, map[string]string{"#alerts": alerts, "#oncall": oncall}), cfg: DefaultConfig()}
		w.network = serve(t, w.slack)
		w.cfg.Slack = SlackConfig{APIURL: "http://127.0.0.1/", Token: token, Channel: alerts, SigningSecret: "shh", DigestAt: NoDigest}
		w.deps = Deps{Vault: w.vault, Log: discard()}
		w.cfg.PollEvery = 10 * time.Minute // nobody else changes the vault
		t.Cleanup(w.stop)
		test(t, w)
		w.stop()
		if refused := w.slack.Refused(); len(refused) > 0 {
			t.Errorf("Slack refused %q", refused)
		}
	})
}

// start runs a notifier, as after a restart of the process.
func (w *world) start() {
	w.t.Helper()
	w.deps.Metrics = prometheus.NewRegistry()
	n, err := newNotifier(w.cfg, w.deps, w.network.dial)
	if err != nil {
		w.t.Fatal(err)
	}
	w.n = n
	ctx, cancel := context.WithCancel(context.Background())
	group, ctx := errgroup.WithContext(ctx)
	n.send(ctx, group, 0)
	w.stopped = func() {
		cancel()
		_ = group.Wait() // its functions return nil
		n.close()
	}
}

func (w *world) stop() {
	if w.stopped != nil {
		w.stopped()
		w.stopped = nil
	}
}

// say has a revision of an incident read.
func (w *world) say(in anomaly.Incident) {
	w.t.Helper()
	result, err := w.n.accept(w.t.Context(), &in, 0, recent)
	if err != nil || result != recordAccepted {
		w.t.Fatal(result, err)
	}
}

// pass lets time pass, and everything happen that happens meanwhile.
func (w *world) pass(d time.Duration) {
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
}

// stands checks what stands in a channel: which incidents in which revision, in order, and how many replies.
func (w *world) stands(channel string, replies int, want ...anomaly.Incident) []slacktest.Message {
	w.t.Helper()
	top, below := w.slack.Messages(channel)
	var got []string
	for _, m := range top {
		id, _ := m.Metadata.EventPayload[idKey].(string)
		revision, _ := m.Metadata.EventPayload[revisionKey].(float64)
		got = append(got, id+"/"+string(rune('0'+int(revision))))
	}
	var expected []string
	for _, in := range want {
		expected = append(expected, in.ID.String()+"/"+string(rune('0'+int(in.Revision))))
	}
	if !slices.Equal(got, expected) || len(below) != replies {
		w.t.Fatalf("%s has %v and %d replies, want %v and %d", channel, got, len(below), expected, replies)
	}
	return top
}

func (w *world) posts(result string) float64 {
	return testutil.ToFloat64(w.n.metrics.slack.WithLabelValues(result))
}

// incident is one of its own.
func incident(severity anomaly.Severity) anomaly.Incident {
	in := spammer(severity, anomaly.Provisional)
	in.ID, in.Revision, in.Time = uuid.New(), 1, time.Now()
	return in
}

func next(in anomaly.Incident, change func(in *anomaly.Incident)) anomaly.Incident {
	in.Revision++
	in.Signals = slices.Clone(in.Signals)
	change(&in)
	return in
}

func (w *world) top(channel string) []slacktest.Message {
	top, _ := w.slack.Messages(channel)
	return top
}

func (w *world) all(channel string) []slacktest.Message {
	top, replies := w.slack.Messages(channel)
	all := slices.Concat(top, replies)
	slices.SortFunc(all, func(a, b slacktest.Message) int { return a.Posted.Compare(b.Posted) })
	return all
}
