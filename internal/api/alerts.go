package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/agentaudit/agentaudit/internal/alertview"
	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/store"
)

// alertsAnswer is what is sent.
type alertsAnswer struct {
	Alerts []alertview.Alert `json:"alerts"` // the latest first
	More   bool              `json:"more"`   // there may be more: ask again, until the time of the last one
}

// alerts shows what the detector has noticed, under pseudonyms.
func (s *Server) alerts(c *call) (*answer, error) {
	asked, err := parseQuery(c.request.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	if asked.User != "" || asked.Session != "" || asked.Type != "" || asked.Content || asked.Names != nil {
		return nil, refused(http.StatusBadRequest, "alerts are asked for by tenant, subject, since, until and limit")
	}
	filter := store.AlertFilter{Limit: asked.Limit}
	if filter.Tenant, err = c.tenant(asked.Tenant); err != nil {
		return nil, err
	}
	if strings.ContainsRune(filter.Tenant, 0) {
		return nil, wrongField("tenant", "a text without NUL expected")
	}
	if filter.Since, filter.Until, err = asked.times(); err != nil {
		return nil, err
	}
	subject, err := asked.subject()
	if err != nil {
		return nil, err
	}
	filter.Subject = subject
	if filter.Limit == 0 {
		filter.Limit = presetEvents
	}
	if filter.Limit < 1 || filter.Limit > maxEvents {
		return nil, wrongField("limit", "1 to "+strconv.Itoa(maxEvents)+" expected")
	}
	found, err := s.deps.Store.Alerts(c.context(), filter)
	if err != nil {
		return nil, err
	}
	if err := c.note(privacy.Use{What: "alerts", Count: len(found)}); err != nil {
		return nil, err
	}
	list := make([]alertview.Alert, len(found))
	for i := range found {
		list[i] = alertview.Of(&found[i])
	}
	return jsonAnswer(http.StatusOK, alertsAnswer{list, len(found) == filter.Limit})
}
