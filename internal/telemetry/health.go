package telemetry

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Check tells whether something that the process needs is there. Its name is shown to anybody who asks; its
// error is logged only.
type Check struct {
	Name string
	Run  func(ctx context.Context) error
}

// checkTimeout bounds a check, so that a hanging dependency makes the process unready instead of mute.
const checkTimeout = 2 * time.Second

// readiness answers /readyz. Safe for concurrent use.
type readiness struct {
	checks []Check
	log    *slog.Logger

	mu      sync.Mutex
	failing []string // of the last answer, to log changes only
}

// Readiness is the body of /readyz.
type Readiness struct {
	Ready   bool     `json:"ready"`
	Failing []string `json:"failing"` // names of the checks that fail
}

func (r *readiness) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	errs := r.run(request.Context())
	if request.Context().Err() != nil {
		return // nobody is listening, and the checks ended for that reason
	}
	body := Readiness{Ready: true, Failing: []string{}}
	for i, err := range errs {
		if err != nil {
			body.Ready = false
			body.Failing = append(body.Failing, r.checks[i].Name)
		}
	}
	r.logChange(body.Failing, errs)
	status := http.StatusOK
	if !body.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, body)
}

// run makes all checks at once and returns their errors in order.
func (r *readiness) run(ctx context.Context) []error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	errs := make([]error, len(r.checks))
	var group sync.WaitGroup
	for i, check := range r.checks {
		// Ends when the check does, which the timeout bounds.
		group.Go(func() { errs[i] = check.Run(ctx) })
	}
	group.Wait()
	return errs
}

func (r *readiness) logChange(failing []string, errs []error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Equal(r.failing, failing) {
		return
	}
	for i, err := range errs {
		if err != nil && !slices.Contains(r.failing, r.checks[i].Name) {
			r.log.Warn("not ready", "check", r.checks[i].Name, "error", err)
		}
	}
	if len(failing) == 0 {
		r.log.Info("ready")
	}
	r.failing = failing
}

// writeJSON ignores write errors: they mean that the caller has gone.
func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
