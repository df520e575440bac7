// Package problem is the form in which HTTP errors are told: application/problem+json (RFC 9457).
package problem

import (
	"encoding/json"
	"net/http"
)

// Problem is the body. Its detail is for whoever asked, and quotes nothing that was sent.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Field  string `json:"field,omitempty"` // of what was sent: which is wrong
}

// Write answers with a problem.
func Write(w http.ResponseWriter, status int, detail string) {
	WriteField(w, status, "", detail)
}

// WriteField answers with a problem of a field.
func WriteField(w http.ResponseWriter, status int, field, detail string) {
	body, err := json.Marshal(Problem{http.StatusText(status), status, detail, field})
	if err != nil {
		http.Error(w, http.StatusText(status), status)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // an error means that the client has gone
}
