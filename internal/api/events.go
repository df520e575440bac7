package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/apikey"
	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/reveal"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

const (
	// maxQuestionBytes bounds a question in a body.
	maxQuestionBytes = 16 << 10
	// presetEvents is how many events an answer has at most if the question does not say, maxEvents what it may say, and maxContents the same with contents, each of
	// which may have a megabyte.
	presetEvents, maxEvents, maxContents = 100, 1000, 50
)

// question is what may be asked of events, and in part of alerts: in the address, or in a body, where names belong.
type question struct {
	Tenant  string `json:"tenant"`
	User    string `json:"user"`
	Session string `json:"session"`
	Subject string `json:"subject"` // a pseudonym
	Since   string `json:"since"`
	Until   string `json:"until"` // excluded
	Type    string `json:"type"`
	Limit   int    `json:"limit"`
	Content bool   `json:"content"`
	Names   *bool  `json:"names"` // not given: for those who may see them
}

// eventsAnswer is what is sent.
type eventsAnswer struct {
	Events []reveal.Event `json:"events"` // by time
	More   bool           `json:"more"`   // there may be more: ask again, since the time of the last one
}

func (s *Server) events(c *call) (*answer, error) {
	asked, err := c.question()
	if err != nil {
		return nil, err
	}
	question, err := c.allowed(&asked)
	if err != nil {
		return nil, err
	}
	if question.WithContent {
		select {
		case s.revealing <- struct{}{}:
			defer func() { <-s.revealing }()
		case <-c.context().Done():
			return nil, context.Cause(c.context())
		}
	}
	found, err := reveal.Find(c.context(), reveal.Deps{Store: s.deps.Store, Vault: s.deps.Vault}, question)
	switch {
	case errors.Is(err, reveal.ErrNobody):
		found = nil // nor are there events
	case errors.Is(err, reveal.ErrSessionNeedsUser), errors.Is(err, reveal.ErrSessionSealed):
		return nil, wrongField("session", "sessions are kept so that they cannot be searched for, or with their user only")
	case err != nil:
		return nil, err
	}
	if err := c.note(usedEvents(found, question.Restricted)); err != nil {
		return nil, err
	}
	if found == nil {
		found = []reveal.Event{}
	}
	return jsonAnswer(http.StatusOK, eventsAnswer{found, len(found) == question.Limit})
}

func usedEvents(found []reveal.Event, mayRestricted bool) privacy.Use {
	use := privacy.Use{What: "events", Count: len(found)}
	people := map[string]bool{}
	for i := range found {
		if found[i].User != "" {
			people[found[i].Subject] = true
		}
		if found[i].ContentState == reveal.ContentOpened {
			use.Contents++
		}
	}
	use.Restricted = mayRestricted && (len(people) > 0 || use.Contents > 0)
	use.People = len(people)
	return use
}

// question reads what is asked.
func (c *call) question() (q question, err error) {
	if c.request.Method != http.MethodPost {
		return parseQuery(c.request.URL.RawQuery)
	}
	if c.request.URL.RawQuery != "" {
		return q, refused(http.StatusBadRequest, "the question stands in the body or in the address, not in both")
	}
	text, err := c.body(maxQuestionBytes)
	if err != nil {
		return q, err
	}
	if err := json.Unmarshal(text, &q, json.RejectUnknownMembers(true)); err != nil {
		return q, refused(http.StatusBadRequest, "the body is no JSON object with members that are known, each once and of its type")
	}
	return q, nil
}

func parseQuery(text string) (q question, err error) {
	values, err := url.ParseQuery(text)
	if err != nil {
		return q, refused(http.StatusBadRequest, "the address cannot be read")
	}
	texts := map[string]*string{
		"tenant": &q.Tenant, "user": &q.User, "session": &q.Session, "subject": &q.Subject, "since": &q.Since, "until": &q.Until, "type": &q.Type,
	}
	for name, given := range values {
		if len(given) != 1 {
			return q, refused(http.StatusBadRequest, "a parameter is given twice")
		}
		value := given[0]
		switch to := texts[name]; {
		case to != nil:
			*to = value
		case name == "limit":
			if q.Limit, err = strconv.Atoi(value); err != nil || q.Limit == 0 {
				return q, wrongField("limit", "a number expected, above 0")
			}
		case name == "content" || name == "names":
			yes, err := strconv.ParseBool(value)
			if err != nil {
				return q, wrongField(name, "true or false expected")
			}
			if name == "content" {
				q.Content = yes
			} else {
				q.Names = &yes
			}
		default:
			return q, refused(http.StatusBadRequest, "a parameter is not known")
		}
	}
	return q, nil
}

// allowed is the question as far as the key may ask it.
func (c *call) allowed(asked *question) (q reveal.Question, err error) {
	mayReveal := c.role.May(apikey.RevealPeople)
	names := mayReveal
	if asked.Names != nil {
		names = *asked.Names
	}
	if !mayReveal && (names || asked.Content || asked.User != "" || asked.Session != "") {
		return q, refused(http.StatusForbidden, "names and contents, and looking for them, are not for keys of the role "+c.key.Role)
	}
	q = reveal.Question{
		User: asked.User, Session: asked.Session, Type: asked.Type, Limit: asked.Limit, WithContent: asked.Content, Pseudonyms: !names,
		SessionPolicy: c.server.cfg.SessionPolicy, Restricted: c.role.May(apikey.SeeRestricted),
	}
	if q.Tenant, err = c.tenant(asked.Tenant); err != nil {
		return q, err
	}
	if q.Since, q.Until, err = asked.times(); err != nil {
		return q, err
	}
	if q.Subject, err = asked.subject(); err != nil {
		return q, err
	}
	most := maxEvents
	if q.WithContent {
		most = maxContents
	}
	if q.Limit == 0 {
		q.Limit = min(presetEvents, most)
	}
	if q.Limit < 1 || q.Limit > most {
		return q, wrongField("limit", "1 to "+strconv.Itoa(maxEvents)+" expected, with contents to "+strconv.Itoa(maxContents))
	}
	for _, text := range []string{asked.Tenant, asked.User, asked.Session, asked.Type} {
		if slices.Contains([]byte(text), 0) {
			return q, refused(http.StatusBadRequest, "a text has a NUL")
		}
	}
	return q, nil
}

// times reads since and until; zero: not given.
func (q *question) times() (since, until time.Time, err error) {
	for _, at := range []struct {
		field, text string
		to          *time.Time
	}{{"since", q.Since, &since}, {"until", q.Until, &until}} {
		if at.text == "" {
			continue
		}
		if *at.to, err = time.Parse(time.RFC3339Nano, at.text); err != nil {
			return since, until, wrongField(at.field, "a time as in RFC 3339 expected")
		}
	}
	return since, until, nil
}

// subject reads the pseudonym; zero: not given.
func (q *question) subject() (gdpr.SubjectID, error) {
	if q.Subject == "" {
		return gdpr.SubjectID{}, nil
	}
	id, err := uuid.Parse(q.Subject)
	if err != nil {
		return gdpr.SubjectID{}, wrongField("subject", "a UUID expected")
	}
	return gdpr.SubjectID(id), nil
}

// tenant is the tenant of which something is asked; empty: all. A key that is limited sees one only.
func (c *call) tenant(asked string) (string, error) {
	switch {
	case c.key.Tenant == "" || asked == c.key.Tenant:
		return asked, nil
	case asked == "":
		return c.key.Tenant, nil
	}
	return "", refused(http.StatusForbidden, "this key is for another tenant")
}
