package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/slack-go/slack"

	"github.com/agentaudit/agentaudit/internal/alert"
	"github.com/agentaudit/agentaudit/internal/vault"
)

// ActionsPath is where Slack sends presses of buttons: the request URL of the app's interactivity.
const ActionsPath = "/slack/actions"

const (
	// maxActionBytes bounds a request. Slack sends the whole message along; ours are below 50 KiB.
	maxActionBytes = 512 << 10
	// signatureAge is how old a request may be, and how far ahead its clock (docs.slack.dev, "Verifying requests from Slack").
	signatureAge = 5 * time.Minute
	// maxSeen bounds what is remembered of requests. Only those that Slack has signed are.
	maxSeen = 10_000
	// feedbackTimeout leaves something of the three seconds that Slack waits for an answer.
	feedbackTimeout = 2500 * time.Millisecond
)

// Headers of Slack's requests.
const (
	slackSignatureHeader = "X-Slack-Signature"
	slackTimestampHeader = "X-Slack-Request-Timestamp"
)

// actions answers Slack's requests about buttons. Safe for concurrent use.
type actions struct {
	notifier *Notifier

	// mu guards seen: the signatures of requests that could be sent again, until when they could.
	mu   sync.Mutex
	seen map[[sha256.Size]byte]time.Time
}

func newActions(n *Notifier) *actions {
	return &actions{notifier: n, seen: make(map[[sha256.Size]byte]time.Time)}
}

// Handler answers ActionsPath. Requests that Slack did not sign with the app's signing secret, that are older than five minutes, or that came before, are
// refused with 401, malformed and oversized ones with 400; nothing of them is read before their signature is checked.
func (n *Notifier) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+ActionsPath, n.actions)
	return mux
}

// refusal is why a request is refused.
type refusal struct {
	status int
	result string
}

func (r *refusal) Error() string { return r.result }

func refuse(status int, result string) error { return &refusal{status, result} }

func (a *actions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := a.handle(w, r)
	result, status := actionAccepted, http.StatusOK
	var refused *refusal
	if errors.As(err, &refused) {
		result, status = refused.result, refused.status
	}
	a.notifier.metrics.actions.WithLabelValues(result).Inc()
	if err != nil {
		a.notifier.deps.Log.Warn("a press of a button in Slack was refused", "reason", result)
		http.Error(w, http.StatusText(status), status)
		return
	}
	w.WriteHeader(status) // Slack wants an empty answer
}

func (a *actions) handle(w http.ResponseWriter, r *http.Request) error {
	secret := a.notifier.cfg.Slack.SigningSecret
	if secret == "" || a.notifier.slack == nil {
		return refuse(http.StatusUnauthorized, actionForged) // nothing proves who sends it
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxActionBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return refuse(http.StatusBadRequest, actionTooLarge)
	case err != nil:
		return refuse(http.StatusBadRequest, actionMalformed)
	}
	if err := a.verify(r.Header, secret, body); err != nil {
		return err
	}
	press, err := parsePress(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), feedbackTimeout)
	defer cancel()
	return a.apply(ctx, press)
}

// verify checks the signature first, then the age, then whether the request came before: only what Slack has signed is compared and remembered.
func (a *actions) verify(header http.Header, secret string, body []byte) error {
	given, err := hex.DecodeString(strings.TrimPrefix(header.Get(slackSignatureHeader), "v0="))
	timestamp := header.Get(slackTimestampHeader)
	if err != nil || len(given) != sha256.Size || len(timestamp) > 20 || !strings.HasPrefix(header.Get(slackSignatureHeader), "v0=") {
		return refuse(http.StatusUnauthorized, actionForged)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("v0:" + timestamp + ":"))
	mac.Write(body)
	if !hmac.Equal(mac.Sum(nil), given) {
		return refuse(http.StatusUnauthorized, actionForged)
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return refuse(http.StatusUnauthorized, actionForged)
	}
	now, at := time.Now(), time.Unix(seconds, 0)
	if now.Sub(at).Abs() > signatureAge {
		return refuse(http.StatusUnauthorized, actionStale)
	}
	return a.remember([sha256.Size]byte(given), now, at.Add(signatureAge))
}

// remember refuses what it remembers.
func (a *actions) remember(signature [sha256.Size]byte, now, until time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.seen[signature]; ok {
		return refuse(http.StatusUnauthorized, actionReplayed)
	}
	if len(a.seen) >= maxSeen {
		for s, end := range a.seen {
			if end.Before(now) {
				delete(a.seen, s)
			}
		}
		if len(a.seen) >= maxSeen {
			return refuse(http.StatusServiceUnavailable, actionFailed)
		}
	}
	a.seen[signature] = until.Add(time.Second)
	return nil
}

// press is one press of a button of ours.
type press struct {
	user     string // of Slack, with its workspace
	incident uuid.UUID
	verb     alert.Verb
	at       time.Time
}

// payload is what is read of Slack's block_actions (docs.slack.dev). The rest is the message, which we know.
type payload struct {
	Type string `json:"type"`
	User struct {
		ID     string `json:"id"`
		TeamID string `json:"team_id"`
	} `json:"user"`
	Actions []struct {
		ActionID string `json:"action_id"`
		Value    string `json:"value"`
		ActionTS string `json:"action_ts"`
	} `json:"actions"`
}

// maxUserBytes is far above an id of Slack.
const maxUserBytes = 64

// parsePress reads the body of a request that Slack has signed.
func parsePress(body []byte) (press, error) {
	malformed := refuse(http.StatusBadRequest, actionMalformed)
	form, err := url.ParseQuery(string(body))
	if err != nil || len(form["payload"]) != 1 {
		return press{}, malformed
	}
	var p payload
	if err := json.Unmarshal([]byte(form.Get("payload")), &p); err != nil {
		return press{}, malformed
	}
	if p.Type != string(slack.InteractionTypeBlockActions) || len(p.Actions) != 1 || p.User.ID == "" || len(p.User.ID)+len(p.User.TeamID) > maxUserBytes {
		return press{}, malformed
	}
	verb := verbOf(p.Actions[0].ActionID)
	if verb == "" {
		return press{}, malformed
	}
	id, err := uuid.Parse(p.Actions[0].Value)
	if err != nil || len(p.Actions[0].Value) != len(uuid.Nil.String()) {
		return press{}, malformed
	}
	at, err := slackTime(p.Actions[0].ActionTS)
	if err != nil {
		return press{}, malformed
	}
	return press{user: p.User.TeamID + "/" + p.User.ID, incident: id, verb: verb, at: at}, nil
}

// verbOf is what a button says; "" if it is none of ours.
func verbOf(action string) alert.Verb {
	switch action {
	case acknowledgeAction:
		return alert.Acknowledge
	case snoozeAction:
		return alert.Snooze
	case falsePositiveAction:
		return alert.FalsePositive
	}
	return ""
}

// slackTime reads seconds and microseconds, "1732233600.123456".
func slackTime(text string) (time.Time, error) {
	seconds, fraction, _ := strings.Cut(text, ".")
	if len(seconds) > 12 || len(fraction) > 6 {
		return time.Time{}, errors.New("no time of Slack")
	}
	s, err := strconv.ParseUint(seconds, 10, 63)
	if err != nil {
		return time.Time{}, err
	}
	micros := uint64(0)
	if fraction != "" {
		if micros, err = strconv.ParseUint(fraction+strings.Repeat("0", 6-len(fraction)), 10, 32); err != nil {
			return time.Time{}, err
		}
	}
	return time.Unix(int64(s), int64(micros)*1000).UTC(), nil
}

// apply has a press noted in the log, then kept and shown.
func (a *actions) apply(ctx context.Context, p press) error {
	n := a.notifier
	if n.deps.Feedback == nil {
		return refuse(http.StatusServiceUnavailable, actionFailed)
	}
	notice, ok, err := n.deps.Vault.Notice(ctx, p.incident)
	switch {
	case err != nil:
		n.deps.Log.Warn("what was said of an incident cannot be kept", "incident", p.incident, "error", err)
		return refuse(http.StatusServiceUnavailable, actionFailed)
	case !ok || notice.Kind != vault.NoticeIncident:
		return refuse(http.StatusNotFound, actionUnknown)
	case !p.at.After(notice.Verdict.At):
		return refuse(http.StatusUnauthorized, actionReplayed) // by a request that another process has seen, or this one before it was started
	}
	order := alert.Order{Verb: p.verb, At: p.at, By: a.pseudonym(p.user), Incident: p.incident}
	if p.verb == alert.Snooze {
		order.Until = p.at.Add(snoozeFor)
	}
	if err := n.deps.Feedback(ctx, order); err != nil {
		n.deps.Log.Warn("what was said of an incident was not taken", "incident", p.incident, "error", err)
		return refuse(http.StatusServiceUnavailable, actionFailed)
	}
	_, err = n.deps.Vault.SetVerdict(ctx, p.incident, vault.NoticeVerdict{Verdict: order.Verb.Status(), By: order.By, Until: order.Until, At: order.At})
	if err != nil {
		n.deps.Log.Warn("what was said of an incident cannot be kept", "incident", p.incident, "error", err)
		return refuse(http.StatusServiceUnavailable, actionFailed)
	}
	n.wake()
	return nil
}

// pseudonym stands for a user of Slack: the same for the same person, and nothing without the signing secret.
func (a *actions) pseudonym(user string) string {
	mac := hmac.New(sha256.New, []byte(a.notifier.cfg.Slack.SigningSecret))
	mac.Write([]byte("agentaudit slack user\x00" + user))
	return "slack-" + hex.EncodeToString(mac.Sum(nil)[:8])
}
