package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/vault"
)

// Headers of what is posted to the webhook.
const (
	signatureHeader = "Agentaudit-Signature"
	idempotencyKey  = "Idempotency-Key"
)

// webhook posts incidents to a URL. Safe for concurrent use.
type webhook struct {
	url    string
	secret []byte
	http   *http.Client
}

func newWebhook(cfg WebhookConfig, timeout time.Duration, dial dialer) (*webhook, error) {
	client, err := newHTTPClient(cfg.URL, timeout, dial)
	if err != nil {
		return nil, err
	}
	return &webhook{url: cfg.URL, secret: cfg.Secret, http: client}, nil
}

// sign returns the header that proves who posted a body, and when: HMAC-SHA256 over the time in Unix seconds, a dot and the body.
func sign(secret, body []byte, at time.Time) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(seconds + "."))
	mac.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// maxWebhookAnswerBytes is read of an answer, so that its connection can be used again. What it says does not matter.
const maxWebhookAnswerBytes = 16 << 10

// post sends one revision of an incident. A receiver that gets one twice knows it by its key.
func (h *webhook) post(ctx context.Context, id uuid.UUID, revision uint32, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return &failure{kind: refused, what: "the webhook's URL cannot be used"}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "agentaudit")
	request.Header.Set(idempotencyKey, fmt.Sprintf("%s/%d", id, revision))
	request.Header.Set(signatureHeader, sign(h.secret, body, time.Now()))
	answer, err := h.http.Do(request)
	if err != nil {
		return transportFailure(err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxWebhookAnswerBytes)) // what is not read costs a connection
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		return nil
	}
	return statusFailure(answer.StatusCode, retryAfter(answer.Header.Get("Retry-After")))
}

// retryAfter reads the header of that name (RFC 9110, 10.2.3); 0: it says nothing.
func retryAfter(value string) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

func (n *Notifier) deliverToWebhook(ctx context.Context, w *worker, post *vault.NoticePost) error {
	post.ToldVersion = post.Notice.Version // it has no details
	if post.SentRevision >= post.Notice.Revision {
		return w.sent(ctx, post) // what people said of it is not told here
	}
	if err := w.target.gate.wait(ctx); err != nil {
		return err
	}
	err := n.webhook.post(ctx, post.Notice.ID, post.Notice.Revision, []byte(post.Notice.Body))
	w.target.count(resultDelivered, err)
	var failed *failure
	if errors.As(err, &failed) && failed.kind == unacceptable {
		return w.postpone(ctx, post, err)
	}
	if err != nil {
		return err
	}
	return w.sent(ctx, post)
}
