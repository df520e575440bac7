package api

import (
	"bytes"
	"errors"
	"net/http"

	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/prove"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// proofs answers with the proofs of all entries with an event id (C2SP tlog-proof), one behind the other.
func (s *Server) proofs(c *call) (*answer, error) {
	id, ok := events.ParseUUID([]byte(c.request.PathValue("event_id")))
	if !ok {
		return nil, wrongField("event_id", "a UUID expected")
	}
	prover := &prove.Prover{Store: s.deps.Store, Vault: s.deps.Vault, Tenant: c.key.Tenant}
	proofs, err := prover.Event(c.context(), id)
	switch {
	case errors.Is(err, prove.ErrNotCovered):
		return nil, &failure{status: http.StatusServiceUnavailable, detail: "no checkpoint covers the entry yet, try again", retryAfter: 1}
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	if err := c.note(privacy.Use{What: "proofs", Count: len(proofs)}); err != nil {
		return nil, err
	}
	if len(proofs) == 0 {
		return nil, refused(http.StatusNotFound, "there is no entry with this event id")
	}
	return &answer{status: http.StatusOK, contentType: "text/plain; charset=utf-8", body: bytes.Join(proofs, nil)}, nil
}
