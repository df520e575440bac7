package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// consentQuestion stands in a body, because it names somebody.
type consentQuestion struct {
	Tenant  string `json:"tenant"`
	User    string `json:"user"`
	Purpose string `json:"purpose"`
}

// consentAnswer says what holds about one purpose, as `gdpr consent check --json`.
type consentAnswer struct {
	Purpose string `json:"purpose"`
	Granted bool   `json:"granted"`
	State   string `json:"state"` // granted, withdrawn, or none: the person has never said anything about it
	Since   string `json:"since,omitempty"`
}

// checkConsent says whether a person agrees to a purpose at this moment. Nobody becomes known by being asked about.
func (s *Server) checkConsent(c *call) (*answer, error) {
	text, err := c.body(maxQuestionBytes)
	if err != nil {
		return nil, err
	}
	var asked consentQuestion
	if err := json.Unmarshal(text, &asked, json.RejectUnknownMembers(true)); err != nil {
		return nil, refused(http.StatusBadRequest, "the body is no JSON object with members that are known, each once and of its type")
	}
	tenant, err := c.tenant(asked.Tenant)
	switch {
	case err != nil:
		return nil, err
	case tenant == "" || strings.ContainsRune(tenant, 0):
		return nil, wrongField("tenant", "a tenant expected, and this key is not limited to one")
	case asked.User == "":
		return nil, wrongField("user", "is missing")
	case !gdpr.ValidPurpose(asked.Purpose):
		return nil, wrongField("purpose", "lower case words with dots or dashes between them expected, such as marketing.e-mail")
	}
	state, err := privacy.CheckConsent(c.context(), s.deps.Vault, vault.Identity{Tenant: tenant, User: asked.User}, asked.Purpose)
	if err != nil {
		return nil, err
	}
	if err := c.note(privacy.Use{What: "consent", Count: 1}); err != nil {
		return nil, err
	}
	a := consentAnswer{Purpose: asked.Purpose, Granted: state.State == gdpr.ConsentGranted, State: string(state.State)}
	if state.State == "" {
		a.State = "none"
	} else {
		a.Since = state.Since.Format(time.RFC3339Nano)
	}
	return jsonAnswer(http.StatusOK, a)
}
