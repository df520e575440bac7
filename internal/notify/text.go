package notify

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Names of agents, tools and tenants come from whoever may write events, so they may be made to look like a mention, a link or a part of the message. In
// Slack's mrkdwn nothing is interpreted inside of a code span but &, < and >, so that is where they stand (docs.slack.dev, "Formatting message text").

// clean makes one line of text, at most limit characters, without what changes how other text is shown: control characters, those that turn the direction
// of writing or have no width, and backticks.
func clean(text string, limit int) string {
	runes := make([]rune, 0, limit+1)
	space := false
	for _, r := range text {
		switch {
		case r == utf8.RuneError, unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs):
			continue
		case unicode.IsSpace(r), unicode.IsControl(r):
			space = len(runes) > 0
			continue
		case r == '`':
			r = '\''
		}
		if space {
			runes, space = append(runes, ' '), false
		}
		if runes = append(runes, r); len(runes) > limit {
			return strings.TrimRight(string(runes[:limit-1]), " ") + "…"
		}
	}
	return string(runes)
}

var entities = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// code shows text of others in mrkdwn.
func code(text string, limit int) string {
	text = clean(text, limit)
	if text == "" {
		return "–"
	}
	return "`" + entities.Replace(text) + "`"
}

// lookalikes take the meaning from characters that may have one, wherever text is shown that cannot be a code span.
var lookalikes = strings.NewReplacer("&", "＆", "<", "‹", ">", "›", "@", "＠", "://", ":∕∕")

// plain shows text of others in headers and notifications.
func plain(text string, limit int) string {
	return clean(lookalikes.Replace(clean(text, limit)), limit)
}

// codes shows a list of names.
func codes(names []string, limit int) string {
	shown := make([]string, 0, len(names))
	for i, name := range names {
		if i == maxNames {
			shown = append(shown, "and "+strconv.Itoa(len(names)-i)+" more")
			break
		}
		shown = append(shown, code(name, limit))
	}
	return strings.Join(shown, ", ")
}

// maxNames of agents or tools are shown; an incident has eight at most unless somebody else wrote it.
const maxNames = 8

// usd writes an amount of money, small ones with more digits.
func usd(amount float64) string {
	if amount != 0 && amount < 0.01 && amount > -0.01 {
		return strconv.FormatFloat(amount, 'f', 4, 64) + " USD"
	}
	return strconv.FormatFloat(amount, 'f', 2, 64) + " USD"
}

const (
	dayTime   = "2006-01-02 15:04:05"
	timeOfDay = "15:04:05"
)

// span writes a window of time.
func span(first, last time.Time) string {
	first, last = first.UTC(), last.UTC()
	switch {
	case last.Before(first) || last.Equal(first):
		return first.Format(dayTime) + " UTC"
	case first.Truncate(24 * time.Hour).Equal(last.Truncate(24 * time.Hour)):
		return first.Format(dayTime) + " to " + last.Format(timeOfDay) + " UTC"
	}
	return first.Format(dayTime) + " to " + last.Format(dayTime) + " UTC"
}
