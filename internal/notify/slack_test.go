package notify

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
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

// pipes is a network in memory, so that a bubble of synctest knows when everything waits.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}

	mu      sync.Mutex
	refused bool // nobody listens
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (p *pipes) refuse(refused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = refused
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	p.mu.Lock()
	refused := p.refused
	p.mu.Unlock()
	if refused {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve answers on a network in memory until the test ends.
func serve(t *testing.T, handler http.Handler) *pipes {
	t.Helper()
	listener := newPipes()
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() { // ends with Close
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return listener
}

// world is a Slack, a vault and notifiers without Kafka, in a bubble of synctest.
type world struct {
	t       *testing.T
	vault   *vault.Vault
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
		w := &world{t: t, vault: openVault(t), slack: slacktest.New(token, map[string]string{"#alerts": alerts, "#oncall": oncall}), cfg: DefaultConfig()}
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

func TestLiveMessage(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		in := incident(anomaly.High)
		w.say(in)
		w.pass(0)
		first := w.stands(alerts, 0, in)[0] // at once; its details a second later
		w.pass(time.Second)
		w.stands(alerts, 1, in)

		grown := next(in, func(in *anomaly.Incident) { in.CostUSD, in.EventCount = 99, 5000 })
		w.say(grown)
		w.pass(2 * time.Second)
		m := w.stands(alerts, 1, grown)[0] // numbers that grow do not disturb the thread
		if m.TS != first.TS || m.Edits != 1 || !strings.Contains(string(m.Blocks), "99.00 USD") {
			t.Errorf("not updated in place: %+v", m)
		}
		final := next(grown, func(in *anomaly.Incident) { in.Status = anomaly.Final })
		w.say(final)
		w.pass(3 * time.Second)
		w.stands(alerts, 2, final)
		worse := next(final, func(in *anomaly.Incident) { in.Severity = anomaly.Critical })
		w.say(worse)
		w.pass(3 * time.Second)
		w.stands(alerts, 3, worse)
		_, replies := w.slack.Messages(alerts)
		if replies[0].Broadcast || replies[1].Broadcast || !replies[2].Broadcast || replies[2].ThreadTS != first.TS {
			t.Errorf("what has become worse is shown in the channel, and only that: %+v", replies)
		}
		withdrawn := next(worse, func(in *anomaly.Incident) { in.Status = anomaly.Withdrawn })
		w.say(withdrawn)
		w.pass(3 * time.Second)
		m = w.stands(alerts, 4, withdrawn)[0]
		if strings.Contains(string(m.Blocks), acknowledgeAction) {
			t.Error("what is withdrawn has buttons")
		}
		if w.posts(resultPosted) != 1 || w.posts(resultUpdated) != 4 || w.posts(resultReplied) != 4 {
			t.Errorf("%v posted, %v updated, %v replied", w.posts(resultPosted), w.posts(resultUpdated), w.posts(resultReplied))
		}
		// An earlier revision, read again, changes nothing.
		if result, err := w.n.accept(t.Context(), &grown, 0, recent); err != nil || result != recordRepeated {
			t.Error(result, err)
		}
		w.pass(time.Minute)
		w.stands(alerts, 4, withdrawn)
	})
}

// Nothing at all goes to Slack when nothing happens.
func TestSilence(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.pass(24 * time.Hour)
		if calls := w.slack.Calls(); len(calls) > 0 {
			t.Errorf("%v", calls)
		}
	})
}

// A second between two messages of a channel, alerts before details, and channels do not wait for each other.
func TestOrderAndRate(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.cfg.Slack.Channels = map[anomaly.Severity]string{anomaly.Critical: oncall}
		w.slack.Script("chat.postMessage", slacktest.Fault{Status: 429, RetryAfter: "30"})
		w.start()
		var highs []anomaly.Incident
		for range 5 {
			highs = append(highs, incident(anomaly.High))
			w.say(highs[len(highs)-1])
			w.pass(time.Millisecond)
		}
		critical := incident(anomaly.Critical)
		w.say(critical)
		w.pass(5 * time.Second)
		w.stands(alerts, 0)
		w.stands(oncall, 1, critical) // the other channel was told to wait, this one was not
		overtaking := next(highs[3], func(in *anomaly.Incident) { in.Status = anomaly.Final })
		w.say(overtaking)
		highs[3] = overtaking
		w.pass(29*time.Second + 900*time.Millisecond)
		w.stands(alerts, 0, highs...) // alerts before details
		w.pass(time.Minute)
		w.stands(alerts, 5, highs...)
		var last time.Time
		for _, m := range w.all(alerts) {
			if m.Posted.Sub(last) < time.Second {
				t.Errorf("a message %s after the one before", m.Posted.Sub(last))
			}
			last = m.Posted
		}
		if w.posts(resultRateLimited) != 1 {
			t.Errorf("%v were limited", w.posts(resultRateLimited))
		}
	})
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

// Retry-After is waited for to the second.
func TestRetryAfter(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.slack.Script("chat.postMessage", slacktest.Fault{Status: 429, RetryAfter: "17"}, slacktest.Fault{Status: 429, RetryAfter: "40"})
		w.start()
		in := incident(anomaly.High)
		w.say(in)
		w.pass(10 * time.Minute)
		w.stands(alerts, 1, in)
		var at []time.Time
		for _, c := range w.slack.Calls() {
			if c.Method == "conversations.history" {
				t.Error("what was certainly not posted is looked up")
			}
			at = append(at, c.At)
		}
		for i, wait := range []time.Duration{17 * time.Second, 40 * time.Second} {
			if got := at[i+1].Sub(at[i]); got < wait || got > wait+2*time.Second {
				t.Errorf("asked again after %s, want %s", got, wait)
			}
		}
	})
}

// Ten minutes without Slack, whichever way it is away: everything comes, in order, once and in its latest revision.
func TestOutage(t *testing.T) {
	for name, fault := range map[string]slacktest.Fault{
		"500": {Status: 500}, "503 that is stored": {Status: 503, Store: true}, "hanging and stored": {Hang: true, Store: true},
		"rate limited": {Status: 429, RetryAfter: "5"}, "an error that may have taken effect": {Code: "fatal_error", Store: true}, "archived": {Code: "is_archived"},
		"no connection": {},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.start()
				before := incident(anomaly.High)
				w.say(before)
				w.pass(5 * time.Second)
				if w.stands(alerts, 1, before); fault == (slacktest.Fault{}) {
					w.network.refuse(true)
					w.n.slack.http.CloseIdleConnections()
				} else {
					w.slack.Down(&fault)
				}
				incidents := []anomaly.Incident{before}
				for i := range 8 {
					in := incident(anomaly.Severity(1 + i%4))
					incidents = append(incidents, in)
					w.say(in)
					w.pass(50 * time.Second)
					grown := next(in, func(in *anomaly.Incident) { in.Status = anomaly.Final })
					w.say(grown)
					incidents[len(incidents)-1] = grown
					w.pass(30 * time.Second)
				}
				if _, since, err := w.vault.Waiting(t.Context(), slackTarget(alerts)); err != nil || time.Since(since) < 9*time.Minute {
					t.Errorf("waiting since %s, %v", time.Since(since), err)
				}
				if age := testutil.CollectAndCount(w.n.metrics.waiting); age != 2 {
					t.Errorf("%d gauges", age)
				}
				if w.posts(resultUnavailable)+w.posts(resultRateLimited)+w.posts(resultRefused) < 3 {
					t.Error("the outage is in no metric")
				}
				w.slack.Down(nil)
				w.network.refuse(false)
				w.pass(15 * time.Minute)
				w.stands(alerts, 9, incidents...)
				if n, _, err := w.vault.Waiting(t.Context(), slackTarget(alerts)); err != nil || n != 0 {
					t.Errorf("%d wait, %v", n, err)
				}
			})
		})
	}
}

// Each request in turn is stored but not answered, or answered by an error, or not stored and not answered: everything is there, once.
func TestStoredButTimedOut(t *testing.T) {
	for _, method := range []string{"chat.postMessage", "chat.update"} {
		for name, fault := range map[string]slacktest.Fault{
			"stored, no answer": {Hang: true, Store: true}, "not stored, no answer": {Hang: true}, "stored, 500": {Status: 500, Store: true}, "not stored, 500": {Status: 500},
		} {
			t.Run(method+", "+name, func(t *testing.T) {
				inWorld(t, func(t *testing.T, w *world) {
					w.start()
					var all []anomaly.Incident
					for skip := range 4 {
						in, other := incident(anomaly.High), incident(anomaly.Low)
						steps := []func(){
							func() { w.say(in) }, func() { w.say(other) },
							func() { in = next(in, func(in *anomaly.Incident) { in.Status = anomaly.Final }); w.say(in) },
							func() {
								other = next(other, func(in *anomaly.Incident) { in.Severity = anomaly.Critical })
								w.say(other)
							},
						}
						for i, step := range steps {
							if i == skip {
								w.slack.Script(method, fault)
							}
							step()
							w.pass(time.Minute)
						}
						w.pass(2 * time.Minute)
						all = append(all, in, other)
						w.stands(alerts, 2*len(all), all...)
					}
				})
			})
		}
	}
}

// What was posted is found in a busy channel too, and not mistaken for another incident's.
func TestFindsAmongOthers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		var all []anomaly.Incident
		for range 12 {
			in := incident(anomaly.High)
			all = append(all, in)
			w.say(in)
			w.pass(3 * time.Second)
		}
		w.slack.Script("chat.postMessage", slacktest.Fault{Hang: true, Store: true})
		in := incident(anomaly.Critical)
		w.say(in)
		w.pass(time.Minute)
		w.stands(alerts, 13, append(all, in)...)
		if w.posts(resultFound) != 1 {
			t.Errorf("%v found", w.posts(resultFound))
		}
	})
}

// The process ends in the middle of any request, and its successor goes on: nothing is lost, nothing comes twice. Meanwhile the incident may have grown.
func TestRestartInTheMiddle(t *testing.T) {
	for _, stored := range []bool{false, true} {
		for _, grows := range []bool{false, true} {
			for request := range 3 { // the message, its details, the update
				t.Run("", func(t *testing.T) {
					inWorld(t, func(t *testing.T, w *world) {
						w.start()
						in := incident(anomaly.High)
						fault := slacktest.Fault{Hang: true, Store: stored}
						switch request {
						case 0:
							w.slack.Script("chat.postMessage", fault)
							w.say(in)
						case 1:
							w.say(in)
							w.pass(0)
							w.slack.Script("chat.postMessage", fault)
						case 2:
							w.say(in)
							w.pass(5 * time.Second)
							w.slack.Script("chat.update", fault)
							in = next(in, func(in *anomaly.Incident) { in.CostUSD++ })
							w.say(in)
						}
						w.pass(1500 * time.Millisecond)
						w.stop() // the request was begun, and nobody has heard of its end
						w.start()
						if grows {
							in = next(in, func(in *anomaly.Incident) { in.CostUSD += 7 })
							w.say(in)
						}
						w.pass(time.Minute)
						w.stands(alerts, 1, in)
					})
				})
			}
		}
	}
}

// If the app may not look, an alert is posted again rather than not at all.
func TestCannotLook(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.slack.Script("chat.postMessage", slacktest.Fault{Status: 502})
		w.slack.Script("conversations.history", slacktest.Fault{Code: "missing_scope"})
		in := incident(anomaly.High)
		w.say(in)
		w.pass(time.Minute)
		w.stands(alerts, 1, in)
		if w.posts(resultRefused) != 1 {
			t.Error("that it cannot look is in no metric")
		}
	})
}

// A message that Slack does not accept goes without its blocks, and if it is not accepted then either, does not stop those behind it.
func TestUnacceptableMessage(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.slack.Script("chat.postMessage", slacktest.Fault{Code: "invalid_blocks"})
		bare := incident(anomaly.High)
		w.say(bare)
		w.pass(5 * time.Second)
		if m := w.stands(alerts, 1, bare)[0]; m.Blocks != nil || !strings.Contains(m.Text, "support-bot") {
			t.Errorf("%+v", m)
		}
		w.slack.Script("chat.postMessage", slacktest.Fault{Code: "some_new_error"}, slacktest.Fault{Code: "some_new_error"})
		late, other := incident(anomaly.High), incident(anomaly.High)
		w.say(late)
		w.pass(time.Second)
		w.say(other)
		w.pass(time.Minute)
		w.stands(alerts, 2, bare, other)
		w.pass(10 * time.Minute)
		w.stands(alerts, 3, bare, other, late)
	})
}

func TestMessageDeletedOrFrozen(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		in := incident(anomaly.High)
		w.say(in)
		w.pass(5 * time.Second)
		w.slack.Script("chat.update", slacktest.Fault{Code: "edit_window_closed"})
		later := next(in, func(in *anomaly.Incident) { in.Status = anomaly.Final })
		w.say(later)
		w.pass(5 * time.Second)
		w.stands(alerts, 2, in) // the thread says what is new
		w.slack.Delete(alerts, w.top(alerts)[0].TS)
		w.slack.Script("chat.update", slacktest.Fault{Code: "message_not_found"})
		again := next(later, func(in *anomaly.Incident) { in.CostUSD++ })
		w.say(again)
		w.pass(5 * time.Second)
		w.stands(alerts, 3, again)
	})
}

// What becomes more severe is said where that severity is said, and kept up to date in both places; what becomes less severe is said nowhere else.
func TestRoutes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.cfg.Slack.Channels = map[anomaly.Severity]string{anomaly.Critical: oncall}
		w.start()
		in := incident(anomaly.Medium)
		w.say(in)
		w.pass(5 * time.Second)
		w.stands(oncall, 0)
		in = next(in, func(in *anomaly.Incident) { in.Severity = anomaly.Critical })
		w.say(in)
		w.pass(5 * time.Second)
		w.stands(alerts, 2, in)
		w.stands(oncall, 1, in)
		in = next(in, func(in *anomaly.Incident) { in.Severity, in.Status = anomaly.High, anomaly.Final })
		w.say(in)
		w.pass(5 * time.Second)
		w.stands(alerts, 3, in)
		w.stands(oncall, 2, in)
		other := incident(anomaly.Critical)
		w.say(other)
		w.pass(5 * time.Second)
		w.stands(oncall, 3, in, other)
		other = next(other, func(in *anomaly.Incident) { in.Severity = anomaly.Low })
		w.say(other)
		w.pass(5 * time.Second)
		w.stands(alerts, 3, in)
		w.stands(oncall, 4, in, other)
	})
}

// A channel that was named wrongly: what it was not told goes to the right one after a restart.
func TestChannelIsCorrected(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.slack.Down(&slacktest.Fault{Code: "channel_not_found"})
		w.cfg.Slack.Channel = "C0WRONG"
		w.start()
		first, second := incident(anomaly.High), incident(anomaly.Low)
		w.say(first)
		w.pass(time.Second)
		w.say(second)
		w.pass(5 * time.Minute)
		calls := len(w.slack.Calls())
		if calls < 3 || calls > 20 {
			t.Errorf("%d requests in five minutes", calls)
		}
		w.stop()
		w.cfg.Slack.Channel = alerts
		w.slack.Down(nil)
		w.start()
		w.pass(time.Minute)
		w.stands(alerts, 2, first, second)
	})
}

// Channels may be given by name; what Slack answers is used from then on.
func TestChannelByName(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.cfg.Slack.Channel = "#alerts"
		w.start()
		in := incident(anomaly.High)
		w.say(in)
		w.pass(5 * time.Second)
		in = next(in, func(in *anomaly.Incident) { in.CostUSD++ })
		w.say(in)
		w.pass(5 * time.Second)
		w.stands(alerts, 1, in)
		w.slack.Script("chat.postMessage", slacktest.Fault{Hang: true, Store: true})
		other := incident(anomaly.High)
		w.say(other)
		w.pass(time.Minute)
		w.stands(alerts, 2, in, other)
	})
}

// What is beyond the day's budget stands in the digest only.
func TestSummarisedAndDigest(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.cfg.Slack.DigestAt = 8 * time.Hour
		w.deps.Checkpoints = func(context.Context) ([]Checkpoint, error) {
			return []Checkpoint{{Log: "agent.events/0", Size: 7, Root: "cm9vdA==", At: time.Now()}}, nil
		}
		w.start() // the bubble's clock begins at midnight, 2000-01-01
		w.pass(12 * time.Hour)
		w.stands(alerts, 0) // there was no day before
		sent, counted, withdrawn := incident(anomaly.High), incident(anomaly.Medium), incident(anomaly.Low)
		counted.Summarised, withdrawn.Status, withdrawn.Summarised = true, anomaly.Withdrawn, true
		for _, in := range []anomaly.Incident{sent, counted, withdrawn} {
			w.say(in)
		}
		w.pass(time.Minute)
		w.stands(alerts, 1, sent)
		w.slack.Script("chat.postMessage", slacktest.Fault{Hang: true, Store: true})
		w.pass(20*time.Hour + time.Minute)
		m := w.top(alerts)
		if len(m) != 2 || m[1].Metadata.EventType != digestEvent {
			t.Fatalf("%+v", m)
		}
		for _, want := range []string{"2000-01-01", "`acme`: 0 critical, 1 high, 1 medium, 0 low; 1 of them beyond", "1 withdrawn", "agent.events/0  size 7"} {
			if !strings.Contains(m[1].Text+string(m[1].Blocks), want) {
				t.Errorf("it does not say %q: %s", want, m[1].Blocks)
			}
		}
		// A restart makes no second one; two days away make two.
		w.stop()
		w.start()
		w.pass(time.Hour)
		if len(w.top(alerts)) != 2 {
			t.Errorf("%d messages after a restart", len(w.top(alerts)))
		}
		w.stop()
		w.pass(48 * time.Hour)
		w.start()
		w.pass(time.Minute)
		if m = w.top(alerts); len(m) != 4 || !strings.Contains(m[2].Text+m[3].Text, "2000-01-02") || !strings.Contains(m[2].Text+m[3].Text, "2000-01-03") {
			t.Errorf("%d messages after two days", len(m))
		}
		// The one that was counted becomes worth a message.
		counted = next(counted, func(in *anomaly.Incident) { in.Summarised, in.Severity = false, anomaly.Critical })
		w.say(counted)
		w.pass(time.Minute)
		if m = w.top(alerts); len(m) != 5 {
			t.Errorf("%d messages", len(m))
		}
	})
}

func TestIdentities(t *testing.T) {
	asked := 0
	reveal := func(_ context.Context, tenant string, subject uuid.UUID) (string, error) {
		asked++
		if tenant != "acme" || subject == uuid.Nil {
			return "", errors.New("somebody else")
		}
		return "mia@example.com", nil
	}
	for _, show := range []bool{false, true} {
		inWorld(t, func(t *testing.T, w *world) {
			w.cfg.Slack.ShowIdentities, w.deps.Reveal = show, reveal
			w.start()
			in := incident(anomaly.High)
			w.say(in)
			w.pass(5 * time.Second)
			m := w.stands(alerts, 1, in)[0]
			if strings.Contains(string(m.Blocks), "mia@example.com") != show || (asked > 0) != show {
				t.Errorf("shown %v, asked %d times", !show, asked)
			}
			n, ok, err := w.vault.Notice(t.Context(), in.ID)
			if err != nil || !ok || strings.Contains(n.Body, "mia") {
				t.Error("the vault keeps it beside the incident", err)
			}
		})
	}
}

// From the event to the message.
func TestLatency(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		in := incident(anomaly.High)
		w.pass(700 * time.Millisecond)
		w.say(in)
		w.pass(5 * time.Second)
		in = next(in, func(in *anomaly.Incident) { in.CostUSD++ })
		w.say(in)
		w.pass(5 * time.Second)
		want := strings.NewReader(`
# HELP agentaudit_alert_latency_seconds From the time of the event by which an incident was noticed to the first message of it: in Slack, without Slack at the webhook, without both in the log.
# TYPE agentaudit_alert_latency_seconds histogram
agentaudit_alert_latency_seconds_bucket{le="0.1"} 0
agentaudit_alert_latency_seconds_bucket{le="0.25"} 0
agentaudit_alert_latency_seconds_bucket{le="0.5"} 0
agentaudit_alert_latency_seconds_bucket{le="1"} 1
agentaudit_alert_latency_seconds_bucket{le="2"} 1
agentaudit_alert_latency_seconds_bucket{le="5"} 1
agentaudit_alert_latency_seconds_bucket{le="10"} 1
agentaudit_alert_latency_seconds_bucket{le="30"} 1
agentaudit_alert_latency_seconds_bucket{le="60"} 1
agentaudit_alert_latency_seconds_bucket{le="300"} 1
agentaudit_alert_latency_seconds_bucket{le="900"} 1
agentaudit_alert_latency_seconds_bucket{le="3600"} 1
agentaudit_alert_latency_seconds_bucket{le="21600"} 1
agentaudit_alert_latency_seconds_bucket{le="86400"} 1
agentaudit_alert_latency_seconds_bucket{le="+Inf"} 1
agentaudit_alert_latency_seconds_sum 0.7
agentaudit_alert_latency_seconds_count 1
`)
		if err := testutil.CollectAndCompare(w.n.metrics.latency, want); err != nil {
			t.Error(err)
		}
	})
}

// State that nobody needs any more goes.
func TestSweep(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.cfg.Retention = 6 * time.Hour
		w.start()
		in := incident(anomaly.High)
		w.say(in)
		w.pass(w.cfg.Retention - time.Hour)
		if _, ok, err := w.vault.Notice(t.Context(), in.ID); err != nil || !ok {
			t.Fatal(ok, err)
		}
		w.pass(3 * time.Hour)
		if _, ok, err := w.vault.Notice(t.Context(), in.ID); err != nil || ok {
			t.Error("still there", err)
		}
	})
}

func TestTokenIsInNoError(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var out strings.Builder
		w.deps.Log = jsonLog(&out)
		w.cfg.Slack.Token = "xoxb-secret-token"
		w.network.refuse(true)
		w.start()
		w.say(incident(anomaly.High))
		w.pass(time.Minute)
		w.network.refuse(false)
		w.slack.Down(&slacktest.Fault{Code: "invalid_auth"})
		w.pass(10 * time.Minute)
		w.stop()
		if strings.Contains(out.String(), "secret-token") || !strings.Contains(out.String(), "invalid_auth") || !strings.Contains(out.String(), `"level":"ERROR"`) {
			t.Error(out.String())
		}
		for line := range strings.Lines(out.String()) {
			if !json.Valid([]byte(line)) {
				t.Error(line)
			}
		}
	})
}
