package api

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/apikey"
	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// People's requests, in the words of OpenDSR 1.0 (specification.md of github.com/opengdpr/OpenDSR). docs/api.md says where this differs from it.

const (
	apiVersion = "1.0"
	// listedRequests bounds a list: the newest.
	listedRequests = 1000
)

// requestBody is how a request is told. The first members are OpenDSR's.
type requestBody struct {
	ControllerID   string `json:"controller_id"` // the tenant
	SubjectRequest string `json:"subject_request_id"`
	Status         string `json:"request_status"`
	Type           string `json:"subject_request_type"`
	Received       string `json:"received_time"`
	Expected       string `json:"expected_completion_time"`
	APIVersion     string `json:"api_version"`
	ResultsURL     string `json:"results_url,omitempty"`
	Encoded        string `json:"encoded_request,omitempty"` // in the answer to it only

	RequestID  string `json:"request_id"` // ours, as in the log
	State      string `json:"state"`      // ours
	Reason     string `json:"reason,omitempty"`
	VerifiedBy string `json:"verified_by,omitempty"`
}

// statusOf is OpenDSR's word for a state. What was refused is over like what was cancelled; the reason says which it was.
func statusOf(state gdpr.RequestState) string {
	switch state {
	case gdpr.StateInProgress:
		return "in_progress"
	case gdpr.StateCompleted:
		return "completed"
	case gdpr.StateRefused, gdpr.StateCancelled:
		return "cancelled"
	}
	return "pending"
}

// typeOf is OpenDSR's word for a kind: of the two that are an export it has the first.
func typeOf(kind gdpr.RequestKind) string {
	if kind == gdpr.RequestExport {
		return "access"
	}
	return string(kind)
}

func bodyOf(r *vault.Request) requestBody {
	b := requestBody{
		ControllerID: r.Tenant, SubjectRequest: r.Caller, Status: statusOf(r.State), Type: typeOf(r.Kind), Received: r.Received.Format(time.RFC3339),
		Expected: r.Due.Format(time.RFC3339), APIVersion: apiVersion, RequestID: uuid.UUID(r.ID).String(), State: string(r.State), Reason: r.Reason, VerifiedBy: r.VerifiedBy,
	}
	if r.Result != "" {
		b.ResultsURL = Prefix + "gdpr/requests/" + b.RequestID + "/receipt"
		if r.Kind == gdpr.RequestExport {
			b.ResultsURL = Prefix + "gdpr/requests/" + b.RequestID + "/export"
		}
	}
	return b
}

// discovery says what can be asked (OpenDSR, 6).
func (s *Server) discovery(c *call) (*answer, error) {
	type identity struct {
		Type   string `json:"identity_type"`
		Format string `json:"identity_format"`
	}
	var identities []identity
	for _, t := range gdpr.IdentityTypes() {
		identities = append(identities, identity{t, "raw"})
	}
	if err := c.note(privacy.Use{What: "discovery", Count: 1}); err != nil {
		return nil, err
	}
	return jsonAnswer(http.StatusOK, struct {
		APIVersion string     `json:"api_version"`
		Identities []identity `json:"supported_identities"`
		Types      []string   `json:"supported_subject_request_types"`
	}{apiVersion, identities, gdpr.FormTypes()})
}

// submit takes a request (OpenDSR, 7).
func (s *Server) submit(c *call) (*answer, error) {
	text, err := c.body(gdpr.MaxFormBytes)
	if err != nil {
		return nil, err
	}
	form, err := gdpr.ParseForm(text, time.Now())
	if err != nil {
		return nil, wrongForm(err)
	}
	tenant, err := c.tenant(form.Tenant)
	if err != nil {
		return nil, err
	}
	if tenant == "" {
		return nil, wrongField("tenant", "is missing, and this key is not limited to one")
	}
	verifiedBy := ""
	if c.role.May(apikey.DecideRequests) {
		verifiedBy = form.VerifiedBy
	}
	if err := c.note(privacy.Use{What: "submit", Changes: true}); err != nil {
		return nil, err
	}
	request, added, err := privacy.Accept(c.context(), s.deps.Vault, &form, tenant, verifiedBy)
	switch {
	case errors.Is(err, privacy.ErrOtherRequest):
		return nil, &failure{status: http.StatusConflict, field: "subject_request_id", detail: "another request has this id: make a new one"}
	case err != nil:
		return nil, err
	}
	status := http.StatusCreated
	if !added {
		status = http.StatusOK
	}
	body := bodyOf(&request)
	body.Encoded = base64.StdEncoding.EncodeToString(text)
	return jsonAnswer(status, body)
}

func wrongForm(err error) error {
	var wrong *gdpr.FormError
	if !errors.As(err, &wrong) {
		return err
	}
	return wrongField(wrong.Field, wrong.Reason)
}

// about finds the request of the address, by our id or the caller's. One of another tenant is not there for a key that is limited.
func (c *call) about() (vault.Request, error) {
	text, v := c.request.PathValue("id"), c.server.deps.Vault
	missing := refused(http.StatusNotFound, "there is no request with this id")
	id, err := uuid.Parse(text)
	if err == nil {
		request, found, err := v.Request(c.context(), id)
		if err != nil || found {
			return c.visible(request, err, missing)
		}
		text = id.String()
	}
	request, found, err := v.RequestByCaller(c.context(), text)
	if err == nil && !found {
		err = missing
	}
	return c.visible(request, err, missing)
}

func (c *call) visible(r vault.Request, err, missing error) (vault.Request, error) {
	if err == nil && c.key.Tenant != "" && r.Tenant != c.key.Tenant {
		err = missing
	}
	if err != nil {
		return vault.Request{}, err
	}
	return r, nil
}

// showRequest says how far a request is (OpenDSR, 8).
func (s *Server) showRequest(c *call) (*answer, error) {
	request, err := c.shown("request")
	if err != nil {
		return nil, err
	}
	return jsonAnswer(http.StatusOK, bodyOf(&request))
}

// shown finds the request of the address and notes that it is shown, or that it was asked for and is not there.
func (c *call) shown(what string) (vault.Request, error) {
	request, err := c.about()
	var missing *failure
	if err != nil && !errors.As(err, &missing) {
		return vault.Request{}, err
	}
	use := privacy.Use{What: what, Request: request.ID}
	if err == nil {
		use.Count = 1
	}
	if err := c.note(use); err != nil {
		return vault.Request{}, err
	}
	return request, err
}

func (s *Server) listRequests(c *call) (*answer, error) {
	if c.request.URL.RawQuery != "" {
		return nil, refused(http.StatusBadRequest, "no parameters are known here")
	}
	all, err := s.deps.Vault.Requests(c.context())
	if err != nil {
		return nil, err
	}
	list := []requestBody{}
	more := false
	for i := len(all) - 1; i >= 0; i-- { // the newest first
		if c.key.Tenant != "" && all[i].Tenant != c.key.Tenant {
			continue
		}
		if len(list) == listedRequests {
			more = true
			break
		}
		list = append(list, bodyOf(&all[i]))
	}
	if err := c.note(privacy.Use{What: "requests", Count: len(list)}); err != nil {
		return nil, err
	}
	return jsonAnswer(http.StatusOK, struct {
		Requests []requestBody `json:"requests"`
		More     bool          `json:"more"`
	}{list, more})
}

// cancel ends a request that nobody is at work on (OpenDSR, 9). One that was cancelled before stays so.
func (s *Server) cancel(c *call) (*answer, error) {
	return s.decide(c, "cancel", gdpr.StateCancelled, http.StatusAccepted, func(r *vault.Request) (bool, error) {
		return privacy.CancelRequest(c.context(), s.deps.Vault, r, "cancelled over HTTP")
	})
}

// verify notes who has checked that a request is the person's.
func (s *Server) verify(c *call) (*answer, error) {
	text, err := c.body(maxQuestionBytes)
	if err != nil {
		return nil, err
	}
	by, err := gdpr.ParseVerification(text)
	if err != nil {
		return nil, wrongForm(err)
	}
	return s.decide(c, "verify", gdpr.StateVerified, http.StatusOK, func(r *vault.Request) (bool, error) {
		return privacy.VerifyRequest(c.context(), s.deps.Vault, r, by)
	})
}

// decide changes the request of the address, which is so already if its state is the wanted one.
func (s *Server) decide(c *call, what string, wanted gdpr.RequestState, status int, change func(r *vault.Request) (bool, error)) (*answer, error) {
	request, err := c.about()
	var missing *failure
	if err != nil && !errors.As(err, &missing) {
		return nil, err
	}
	if err := c.note(privacy.Use{What: what, Changes: true, Request: request.ID}); err != nil {
		return nil, err
	}
	if missing != nil {
		return nil, missing
	}
	done, err := change(&request)
	if err != nil {
		return nil, err
	}
	now, found, err := s.deps.Vault.Request(c.context(), request.ID)
	if err != nil {
		return nil, err
	}
	if !found || !done && now.State != wanted {
		return nil, refused(http.StatusConflict, "the request is "+string(now.State)+": it cannot be changed so any more")
	}
	return jsonAnswer(status, bodyOf(&now))
}

// receipt answers with what came of a request, as it was signed.
func (s *Server) receipt(c *call) (*answer, error) {
	request, err := c.shown("receipt")
	switch {
	case err != nil:
		return nil, err
	case request.Result == "":
		return nil, refused(http.StatusNotFound, "there is no receipt: the request is "+strconv.Quote(string(request.State)))
	}
	return &answer{status: http.StatusOK, contentType: "application/json", body: append([]byte(request.Result), '\n')}, nil
}
