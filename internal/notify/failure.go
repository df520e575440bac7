package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/slack-go/slack"
)

// failureKind is what to do about a request that failed.
type failureKind int

const (
	// unavailable: try again soon.
	unavailable failureKind = iota
	// rateLimited: try again when the receiver says.
	rateLimited
	// refused: nothing goes to this receiver until somebody mends something. Try again slowly.
	refused
	// unacceptable: this message does not go, others may.
	unacceptable
	// gone: the message that was to be changed is not there any more.
	gone
	// frozen: the message that was to be changed is there and cannot be changed.
	frozen
)

// failure is why a request to a receiver failed. Its text has no secret, and nothing of what was to be sent.
type failure struct {
	kind failureKind
	// unknown: what was asked for may have been done.
	unknown bool
	// ended: the receiver has answered, so it will not be done later either.
	ended      bool
	retryAfter time.Duration // of rateLimited
	what       string
}

func (f *failure) Error() string { return f.what }

// Codes of Slack's answers (docs.slack.dev, the methods' errors). What is in none of these is taken as a matter of the one message: were it one of the
// channel, every message would be tried by itself, and none is lost; the other way round one message could stop a channel.
var (
	slackLimited = []string{"ratelimited", "rate_limited", "message_limit_exceeded"}
	// Slack says of these that the call may have taken effect.
	slackUnknown = []string{"fatal_error", "internal_error", "request_timeout", "service_unavailable", "team_added_to_org"}
	slackRefused = []string{
		"channel_not_found", "not_in_channel", "is_archived", "restricted_action", "restricted_action_read_only_channel", "restricted_action_thread_only_channel",
		"restricted_action_non_threadable_channel", "posting_to_channel_denied", "messages_tab_disabled", "channel_type_not_supported", "method_not_supported_for_channel_type",
		"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission", "missing_scope", "org_login_required", "two_factor_setup_required",
		"ekm_access_denied", "access_denied", "not_allowed_token_type", "team_access_not_granted", "accesslimited", "enterprise_is_restricted", "method_deprecated",
		"deprecated_endpoint", "invalid_app_id", "app_missing_action_url",
	}
	slackGone   = []string{"message_not_found", "thread_not_found"}
	slackFrozen = []string{"cant_update_message", "edit_window_closed", "cannot_reply_to_message", "thread_locked", "update_failed", "streaming_state_conflict"}
)

// slackFailure sorts what Slack's client returned; nil stays nil.
func slackFailure(err error) error {
	if err == nil {
		return nil
	}
	var limited *slack.RateLimitedError
	var status slack.StatusCodeError
	var answer slack.SlackErrorResponse
	switch {
	case errors.As(err, &limited):
		return &failure{kind: rateLimited, ended: true, retryAfter: limited.RetryAfter, what: fmt.Sprintf("Slack asks to wait %s", limited.RetryAfter)}
	case errors.As(err, &status):
		return statusFailure(status.Code, 0)
	case errors.As(err, &answer):
		return codeFailure(answer.Err)
	}
	return transportFailure(err)
}

func codeFailure(code string) *failure {
	f := &failure{kind: unacceptable, ended: true, what: "Slack answers " + clean(code, maxName)}
	for _, known := range []struct {
		kind  failureKind
		codes []string
	}{{rateLimited, slackLimited}, {unavailable, slackUnknown}, {refused, slackRefused}, {gone, slackGone}, {frozen, slackFrozen}} {
		if slices.Contains(known.codes, code) {
			f.kind = known.kind
		}
	}
	f.unknown = f.kind == unavailable
	return f
}

// statusFailure sorts a status that is no success.
func statusFailure(status int, retryAfter time.Duration) *failure {
	f := &failure{ended: true, retryAfter: retryAfter, what: fmt.Sprintf("status %d", status)}
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && retryAfter > 0:
		f.kind, f.unknown = rateLimited, status != http.StatusTooManyRequests
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusTooEarly, status < 200:
		f.kind, f.unknown = unavailable, true
	case status == http.StatusBadRequest, status == http.StatusConflict, status == http.StatusRequestEntityTooLarge, status == http.StatusUnprocessableEntity,
		status == http.StatusUnsupportedMediaType:
		f.kind = unacceptable
	default: // redirects, which are not followed, and what is missing or forbidden
		f.kind = refused
	}
	return f
}

// transportFailure is a request without an answer. Only if there was no connection it is certain that nothing came of it.
func transportFailure(err error) *failure {
	f := &failure{kind: unavailable, unknown: true}
	var op *net.OpError
	var forbidden *forbiddenAddressError
	switch {
	case errors.As(err, &forbidden):
		f.kind, f.unknown, f.what = refused, false, forbidden.Error()
	case errors.As(err, &op) && op.Op == "dial":
		f.unknown, f.what = false, "no connection: "+op.Err.Error()
	case errors.Is(err, context.DeadlineExceeded) || isTimeout(err):
		f.what = "no answer in time"
	case errors.Is(err, context.Canceled):
		f.what = "ended while it was asked"
	default:
		f.what = "the connection or the answer broke off" // the library's words may quote what was answered
	}
	return f
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
