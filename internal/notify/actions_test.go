package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agentaudit/agentaudit/internal/alert"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

const signingSecret = "shh"

// signed is a request as Slack sends it.
func signed(secret, body string, at time.Time) *http.Request {
	r := httptest.NewRequest(http.MethodPost, ActionsPath, strings.NewReader(body))
	timestamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("v0:" + timestamp + ":" + body))
	r.Header.Set(slackTimestampHeader, timestamp)
	r.Header.Set(slackSignatureHeader, "v0="+hex.EncodeToString(mac.Sum(nil)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// pressed is the body of a press, with what else Slack sends along.
func pressed(action string, incident uuid.UUID, at time.Time, user string) string {
	payload := fmt.Sprintf(`{"type":"block_actions","user":{"id":%q,"username":"mia","name":"mia","team_id":"T1"},"api_app_id":"A1","token":"x","container":{"type":"message"},
		"team":{"id":"T1"},"channel":{"id":"C0ALERTS"},"message":{"type":"message","blocks":[{"type":"header"}]},"response_url":"https://hooks.slack.com/actions/x",
		"actions":[{"action_id":%q,"block_id":"b","text":{"type":"plain_text","text":"x"},"value":%q,"type":"button","action_ts":"%d.%06d"}]}`,
		user, action, incident, at.Unix(), at.Nanosecond()/1000)
	return "payload=" + url.QueryEscape(payload)
}

func (w *world) press(r *http.Request) int {
	recorder := httptest.NewRecorder()
	w.n.Handler().ServeHTTP(recorder, r)
	return recorder.Code
}

func (w *world) actions(result string) float64 {
	return testutil.ToFloat64(w.n.metrics.actions.WithLabelValues(result))
}

func TestButtons(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var told []alert.Order
		var fail error
		w.deps.Feedback = func(_ context.Context, f alert.Order) error {
			if fail == nil {
				told = append(told, f)
			}
			return fail
		}
		w.start()
		in := incident(anomaly.High)
		w.say(in)
		w.pass(5 * time.Second)

		for i, c := range []struct {
			action string
			verb   alert.Verb
			shown  string
		}{
			{acknowledgeAction, alert.Acknowledge, "*Acknowledged*"}, {snoozeAction, alert.Snooze, "*Snoozed* until"}, {falsePositiveAction, alert.FalsePositive, "*Called a false positive*"},
		} {
			now := time.Now()
			if status := w.press(signed(signingSecret, pressed(c.action, in.ID, now, "U1"), now)); status != http.StatusOK {
				t.Fatalf("%s: status %d", c.action, status)
			}
			if len(told) != i+1 || told[i].Incident != in.ID || told[i].Verb != c.verb || !told[i].At.Equal(now.Truncate(time.Microsecond)) {
				t.Fatalf("%+v", told)
			}
			if until := told[i].Until; until.IsZero() != (c.verb != alert.Snooze) || c.verb == alert.Snooze && !until.Equal(told[i].At.Add(time.Hour)) {
				t.Errorf("until %s", until)
			}
			w.pass(5 * time.Second)
			m := w.stands(alerts, 1, in)[0]
			if m.Edits != i+1 || !strings.Contains(string(m.Blocks), c.shown) || strings.Contains(string(m.Blocks), "U1") {
				t.Errorf("not shown: %s", m.Blocks)
			}
		}
		// The same person is the same pseudonym, another one is another, and neither is the person.
		now := time.Now()
		w.press(signed(signingSecret, pressed(acknowledgeAction, in.ID, now, "U2"), now))
		if told[0].By != told[1].By || told[0].By == told[3].By || strings.Contains(told[0].By, "U1") || told[0].By == "" {
			t.Errorf("%+v", told)
		}

		// What is not taken can be pressed again, and is not shown before.
		w.pass(5 * time.Second)
		fail = errors.New("Kafka is away")
		now = time.Now()
		if status := w.press(signed(signingSecret, pressed(snoozeAction, in.ID, now, "U1"), now)); status != http.StatusServiceUnavailable {
			t.Errorf("status %d", status)
		}
		w.pass(5 * time.Second)
		if m := w.stands(alerts, 1, in)[0]; !strings.Contains(string(m.Blocks), "*Acknowledged*") {
			t.Errorf("%s", m.Blocks)
		}
		if w.actions(actionAccepted) != 4 || w.actions(actionFailed) != 1 {
			t.Errorf("%v accepted, %v failed", w.actions(actionAccepted), w.actions(actionFailed))
		}
	})
}

// Requests that Slack did not send, or not now, or not for the first time, do nothing.
func TestForgedButtons(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		told := 0
		w.deps.Feedback = func(context.Context, alert.Order) error { told++; return nil }
		w.start()
		in := incident(anomaly.High)
		w.say(in)
		w.pass(time.Hour)
		now := time.Now()
		body := pressed(acknowledgeAction, in.ID, now, "U1")
		accepted := func() *http.Request { return signed(signingSecret, body, now) }
		if status := w.press(accepted()); status != http.StatusOK || told != 1 {
			t.Fatalf("status %d", status)
		}
		changed := func(change func(r *http.Request)) *http.Request {
			later := now.Add(time.Second)
			r := signed(signingSecret, pressed(acknowledgeAction, in.ID, later, "U1"), later)
			change(r)
			return r
		}
		form := func(payload string) string { return "payload=" + url.QueryEscape(payload) }
		for name, c := range map[string]struct {
			request *http.Request
			status  int
			result  string
		}{
			"sent again":         {accepted(), 401, actionReplayed},
			"by another secret":  {signed("other", body, now), 401, actionForged},
			"without a secret":   {signed("", body, now), 401, actionForged},
			"no signature":       {changed(func(r *http.Request) { r.Header.Del(slackSignatureHeader) }), 401, actionForged},
			"no time":            {changed(func(r *http.Request) { r.Header.Del(slackTimestampHeader) }), 401, actionForged},
			"another time":       {changed(func(r *http.Request) { r.Header.Set(slackTimestampHeader, strconv.FormatInt(now.Unix()+2, 10)) }), 401, actionForged},
			"a short signature":  {changed(func(r *http.Request) { r.Header.Set(slackSignatureHeader, "v0=00") }), 401, actionForged},
			"another version":    {changed(func(r *http.Request) { r.Header.Set(slackSignatureHeader, "v1"+r.Header.Get(slackSignatureHeader)[2:]) }), 401, actionForged},
			"a changed body":     {changed(func(r *http.Request) { r.Body = http.NoBody }), 401, actionForged},
			"of six minutes ago": {signed(signingSecret, body, now.Add(-6*time.Minute)), 401, actionStale},
			"of the future":      {signed(signingSecret, body, now.Add(6*time.Minute)), 401, actionStale},
			"too large":          {signed(signingSecret, strings.Repeat("x", maxActionBytes+1), now), 400, actionTooLarge},
			"no form":            {signed(signingSecret, "%zz", now), 400, actionMalformed},
			"no payload":         {signed(signingSecret, "a=b", now), 400, actionMalformed},
			"two payloads":       {signed(signingSecret, body+"&"+body, now), 400, actionMalformed},
			"no JSON":            {signed(signingSecret, form("{"), now), 400, actionMalformed},
			"another type":       {signed(signingSecret, form(`{"type":"shortcut"}`), now), 400, actionMalformed},
			"no action":          {signed(signingSecret, form(`{"type":"block_actions","user":{"id":"U"},"actions":[]}`), now), 400, actionMalformed},
			"another button":     {signed(signingSecret, pressed("delete_everything", in.ID, now, "U1"), now), 400, actionMalformed},
			"nobody":             {signed(signingSecret, pressed(acknowledgeAction, in.ID, now, ""), now), 400, actionMalformed},
			"an endless name":    {signed(signingSecret, pressed(acknowledgeAction, in.ID, now, strings.Repeat("U", 100)), now), 400, actionMalformed},
			"no incident":        {signed(signingSecret, strings.ReplaceAll(body, in.ID.String(), "nothing"), now), 400, actionMalformed},
			"an unknown one":     {signed(signingSecret, pressed(acknowledgeAction, uuid.New(), now, "U1"), now), 404, actionUnknown},
			"no later than what was said, in another request": {signed(signingSecret, body+"&x=1", now), 401, actionReplayed},
		} {
			before := w.actions(c.result)
			if status := w.press(c.request); status != c.status || told != 1 || w.actions(c.result) != before+1 {
				t.Errorf("%s: status %d, want %d; told %d times; %s %v", name, status, c.status, told, c.result, w.actions(c.result)-before)
			}
		}
		for _, r := range []*http.Request{httptest.NewRequest(http.MethodGet, ActionsPath, nil), httptest.NewRequest(http.MethodPost, "/slack/other", nil)} {
			if status := w.press(r); status < 400 {
				t.Errorf("%s %s: status %d", r.Method, r.URL.Path, status)
			}
		}
		// After a restart nothing is remembered in memory, but the vault knows what was said last.
		w.stop()
		w.start()
		if status := w.press(accepted()); status != http.StatusUnauthorized || told != 1 {
			t.Errorf("after a restart: status %d, told %d times", status, told)
		}
	})
}

// Without a signing secret nothing is accepted, and messages have no buttons.
func TestNoSigningSecret(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.cfg.Slack.SigningSecret = ""
		w.deps.Feedback = func(context.Context, alert.Order) error { t.Error("told"); return nil }
		w.start()
		in := incident(anomaly.High)
		w.say(in)
		w.pass(5 * time.Second)
		if m := w.stands(alerts, 1, in)[0]; strings.Contains(string(m.Blocks), "button") {
			t.Errorf("%s", m.Blocks)
		}
		if status := w.press(signed("", pressed(acknowledgeAction, in.ID, time.Now(), "U1"), time.Now())); status != http.StatusUnauthorized {
			t.Errorf("status %d", status)
		}
	})
}

// Memory for what was seen is bounded, and freed with time.
func TestSeenIsBounded(t *testing.T) {
	a := newActions(nil)
	now := time.Now()
	for i := range maxSeen {
		var signature [sha256.Size]byte
		copy(signature[:], strconv.Itoa(i))
		if err := a.remember(signature, now, now.Add(signatureAge)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.remember([sha256.Size]byte{1}, now, now.Add(signatureAge)); err == nil {
		t.Error("no bound")
	}
	later := now.Add(2 * signatureAge)
	if err := a.remember([sha256.Size]byte{1}, later, later.Add(signatureAge)); err != nil || len(a.seen) != 1 {
		t.Error(err, len(a.seen))
	}
}

// FuzzPress: whatever stands in a request, reading it ends, and what is accepted is complete.
func FuzzPress(f *testing.F) {
	f.Add([]byte(pressed(snoozeAction, uuid.New(), time.Unix(1732233600, 123456000), "U1")))
	f.Add([]byte("payload=%7B%7D"))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := parsePress(body)
		if err == nil && (p.user == "" || p.verb == "" || p.at.IsZero()) {
			t.Errorf("%+v", p)
		}
	})
}
