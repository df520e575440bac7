package api

import (
	"archive/zip"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

// An export over HTTP: it is fetched by who may, as often as wanted, until the person is erased; one that breaks off is seen to break off.
func TestExport(t *testing.T) {
	r := newRig(t)
	r.StartIngest()
	r.StartExporter()
	for range 50 {
		r.produce("acme", "mia")
	}
	r.produce("acme", "noah")
	r.awaitSealed()
	r.open()
	r.startWorker()
	const requests, acme = "/v1/gdpr/requests", `,"tenant":"acme","verified_by":"desk"`
	order := func(kind, user string) requestBody {
		t.Helper()
		id := uuid.NewString()
		r.want(201, "dpo", "POST", requests, formOf(id, kind, user, acme))
		var now requestBody
		testkit.Eventually(t, soon, func() bool {
			now = decode[requestBody](t, r.want(200, "dpo", "GET", requests+"/"+id, ""))
			return now.Status == "completed"
		}, kind+" is completed")
		return now
	}
	done := order("portability", "mia")
	if done.Type != "access" || !strings.HasSuffix(done.ResultsURL, "/export") {
		t.Errorf("got %+v", done)
	}
	for _, key := range []string{"dpo", "admin@acme"} {
		got := r.want(200, key, "GET", done.ResultsURL, "")
		archive, err := zip.NewReader(strings.NewReader(got.body), int64(len(got.body)))
		if err != nil || len(archive.File) < 3 || got.header.Get("Content-Type") != "application/zip" || !strings.Contains(got.header.Get("Content-Disposition"), done.RequestID+".zip") {
			t.Fatalf("an archive of %d bytes, header %v: %v", len(got.body), got.header, err)
		}
	}
	r.want(403, "auditor", "GET", done.ResultsURL, "")
	r.want(200, "auditor", "GET", requests+"/"+done.RequestID+"/receipt", "")
	dpo := r.idOf(r.keys["dpo"])
	testkit.Eventually(t, soon, func() bool {
		return slices.ContainsFunc(r.said("audit.reveal", dpo), func(entry string) bool {
			return strings.Contains(entry, `"contents":"50"`) && strings.Contains(entry, done.RequestID) && strings.Contains(entry, `"what":"export"`)
		})
	}, "that it was fetched stands in the log")

	// A file that is cut off is not taken for a whole one.
	files, err := filepath.Glob(filepath.Join(r.exports, "*.zip.age"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], text[:len(text)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), "GET", r.url+done.ResultsURL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+r.keys["dpo"])
	if response, err := r.client.Do(request); err == nil {
		if _, err := io.ReadAll(response.Body); err == nil {
			t.Errorf("a broken archive was answered with %d, as if it were whole", response.StatusCode)
		}
		response.Body.Close()
	}

	// Once the person is erased there is nothing to fetch.
	if err := os.WriteFile(files[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	r.want(200, "dpo", "GET", done.ResultsURL, "")
	order("erasure", "mia")
	if got := r.want(404, "dpo", "GET", done.ResultsURL, ""); strings.Contains(got.body, "mia") {
		t.Error(got.body)
	}
	// What an erasure leaves is a receipt and no archive.
	r.want(404, "dpo", "GET", requests+"/"+order("erasure", "noah").RequestID+"/export", "")
}
