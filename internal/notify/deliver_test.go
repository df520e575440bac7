package notify

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/notify/slacktest"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

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
