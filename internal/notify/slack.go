package notify

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/slack-go/slack"
)

// dialer replaces the connections that tests make.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// slackClient speaks to Slack. Safe for concurrent use. Its errors are *failure.
type slackClient struct {
	api  *slack.Client
	http *http.Client
}

func newSlackClient(cfg SlackConfig, timeout time.Duration, dial dialer) (*slackClient, error) {
	client, err := newHTTPClient(cfg.APIURL, timeout, dial)
	if err != nil {
		return nil, err
	}
	base := strings.TrimSuffix(cfg.APIURL, "/") + "/"
	return &slackClient{api: slack.New(cfg.Token, slack.OptionAPIURL(base), slack.OptionHTTPClient(boundedClient{client})), http: client}, nil
}

// maxSlackAnswerBytes bounds an answer: 200 messages with their blocks are below it.
const maxSlackAnswerBytes = 32 << 20

// boundedClient bounds the answers that Slack's library reads whole.
type boundedClient struct{ *http.Client }

func (c boundedClient) Do(request *http.Request) (*http.Response, error) {
	answer, err := c.Client.Do(request) //nolint:gosec // the URL is the operator's, see CheckURL and checkAddress
	if err == nil {
		answer.Body = http.MaxBytesReader(nil, answer.Body, maxSlackAnswerBytes)
	}
	return answer, err
}

// place is where a message is.
type place struct{ channel, ts string }

func (m *message) options(more ...slack.MsgOption) []slack.MsgOption {
	list := append([]slack.MsgOption{
		slack.MsgOptionText(m.text, false), slack.MsgOptionMetadata(m.metadata), slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl(),
		slack.MsgOptionDisableMarkdown(), slack.MsgOptionParse(false), slack.MsgOptionLinkNames(false),
	}, more...)
	// Without blocks an update leaves those that are there.
	return append(list, slack.MsgOptionBlocks(m.blocks...))
}

// post puts a message into a channel.
func (c *slackClient) post(ctx context.Context, channel string, m *message) (place, error) {
	return c.send(ctx, channel, m.options())
}

// reply puts a message into a thread; broadcast shows it in the channel too.
func (c *slackClient) reply(ctx context.Context, to place, m *message, broadcast bool) (place, error) {
	more := []slack.MsgOption{slack.MsgOptionTS(to.ts)}
	if broadcast {
		more = append(more, slack.MsgOptionBroadcast())
	}
	return c.send(ctx, to.channel, m.options(more...))
}

func (c *slackClient) send(ctx context.Context, channel string, options []slack.MsgOption) (place, error) {
	in, ts, err := c.api.PostMessageContext(ctx, channel, options...)
	if err != nil {
		return place{}, slackFailure(err)
	}
	if ts == "" {
		return place{}, &failure{kind: unavailable, unknown: true, ended: true, what: "Slack's answer does not say where the message is"}
	}
	if in == "" {
		in = channel
	}
	return place{in, ts}, nil
}

// update changes a message.
func (c *slackClient) update(ctx context.Context, at place, m *message) error {
	_, _, _, err := c.api.UpdateMessageContext(ctx, at.channel, at.ts, m.options()...)
	return slackFailure(err)
}

const (
	// lookBack is how much earlier than a message was begun it is looked for: Slack's clock is another one.
	lookBack = time.Hour
	// pageSize and maxPages bound a search.
	pageSize = 200
	maxPages = 50
)

// errTooMuch: the channel has more messages of that time than are looked through.
var errTooMuch = errors.New("too many messages to look through")

// find looks a message up by its metadata among those that were posted to a channel since a moment, and returns which revision it shows.
func (c *slackClient) find(ctx context.Context, channel string, wanted slack.SlackMetadata, since time.Time, next func(ctx context.Context) error) (at place, revision uint32, err error) {
	oldest := strconv.FormatInt(since.Add(-lookBack).Unix(), 10)
	for cursor, page := "", 0; ; page++ {
		if page == maxPages {
			return place{}, 0, errTooMuch
		}
		if err := next(ctx); err != nil {
			return place{}, 0, err
		}
		answer, err := c.api.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{
			ChannelID: channel, Cursor: cursor, Oldest: oldest, Limit: pageSize, IncludeAllMetadata: true,
		})
		if err != nil {
			return place{}, 0, slackFailure(err)
		}
		if ts, revision, ok := pick(answer.Messages, wanted); ok {
			return place{channel, ts}, revision, nil
		}
		if cursor = answer.ResponseMetaData.NextCursor; cursor == "" {
			return place{}, 0, nil
		}
	}
}

// findReply is find in a thread.
func (c *slackClient) findReply(ctx context.Context, thread place, wanted slack.SlackMetadata, next func(ctx context.Context) error) (found bool, err error) {
	for cursor, page := "", 0; page < maxPages; page++ {
		if err := next(ctx); err != nil {
			return false, err
		}
		messages, _, following, err := c.api.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{
			ChannelID: thread.channel, Timestamp: thread.ts, Cursor: cursor, Limit: pageSize, IncludeAllMetadata: true,
		})
		if err != nil {
			return false, slackFailure(err)
		}
		if _, _, ok := pick(messages, wanted); ok {
			return true, nil
		}
		if cursor = following; cursor == "" {
			return false, nil
		}
	}
	return false, errTooMuch
}

// pick returns the message whose metadata names the same incident (and state, if wanted has one), the earliest if there are several.
func pick(messages []slack.Message, wanted slack.SlackMetadata) (ts string, revision uint32, ok bool) {
	for i := range messages {
		m := &messages[i]
		if m.Metadata.EventType != wanted.EventType || m.Metadata.EventPayload[idKey] != wanted.EventPayload[idKey] ||
			m.Metadata.EventPayload[stateKey] != wanted.EventPayload[stateKey] || m.Timestamp == "" {
			continue
		}
		if ok && m.Timestamp >= ts {
			continue
		}
		// JSON numbers are floats here.
		number, _ := m.Metadata.EventPayload[revisionKey].(float64)
		ts, revision, ok = m.Timestamp, uint32(number), true
	}
	return ts, revision, ok
}
