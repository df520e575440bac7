package notify

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// receiver is a webhook's other end.
type receiver struct {
	secret string

	mu     sync.Mutex
	status []int // of the next answers; then 204
	header http.Header
	got    []string // keys of what was taken
	asked  int
	wrong  []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	signature := request.Header.Get(signatureHeader)
	seconds, _, _ := strings.Cut(strings.TrimPrefix(signature, "t="), ",")
	at, err := time.Parse("2006-01-02T15:04:05Z", time.Now().UTC().Format("2006-01-02T15:04:05Z"))
	in, parseErr := anomaly.ParseIncident(body)
	switch {
	case err != nil || parseErr != nil:
		r.wrong = append(r.wrong, "no incident")
	case signature != sign([]byte(r.secret), body, at) || seconds == "":
		r.wrong = append(r.wrong, "signature "+signature)
	case !strings.HasPrefix(request.Header.Get(idempotencyKey), in.ID.String()+"/"):
		r.wrong = append(r.wrong, "key "+request.Header.Get(idempotencyKey))
	}
	status := http.StatusNoContent
	if len(r.status) > 0 {
		status, r.status = r.status[0], r.status[1:]
	}
	for name := range r.header {
		w.Header().Set(name, r.header.Get(name))
	}
	if status < 300 {
		r.got = append(r.got, request.Header.Get(idempotencyKey))
	}
	w.WriteHeader(status)
}

func inWebhookWorld(t *testing.T, r *receiver, test func(t *testing.T, w *world)) {
	t.Helper()
	r.secret = "0123456789abcdef"
	inWorld(t, func(t *testing.T, w *world) {
		w.network = serve(t, r)
		w.cfg.Slack = DefaultConfig().Slack
		w.cfg.Webhook = WebhookConfig{URL: "http://localhost/in", Secret: []byte(r.secret)}
		test(t, w)
		w.stop()
		if len(r.wrong) > 0 {
			t.Errorf("%q", r.wrong)
		}
	})
}

func TestWebhook(t *testing.T) {
	r := &receiver{}
	inWebhookWorld(t, r, func(t *testing.T, w *world) {
		w.start()
		in, summarised := incident(anomaly.High), incident(anomaly.Low)
		summarised.Summarised = true
		w.say(in)
		w.pass(time.Second) // what is noted in the same microsecond has no order
		w.say(summarised)   // programs are told of everything
		w.pass(time.Minute)
		r.status = []int{500, 429, 503, 404, 302, 400}
		r.header = http.Header{"Retry-After": {"20"}, "Location": {"http://169.254.169.254/latest"}}
		in = next(in, func(in *anomaly.Incident) { in.CostUSD++ })
		w.say(in)
		w.pass(time.Second)
		in = next(in, func(in *anomaly.Incident) { in.Status = anomaly.Final }) // overtakes the one before
		w.say(in)
		w.pass(time.Hour)
		want := in.ID.String() + "/1 " + summarised.ID.String() + "/1 " + in.ID.String() + "/3"
		if got := strings.Join(r.got, " "); got != want || r.asked != 9 {
			t.Errorf("%s after %d requests, want %s after 9", got, r.asked, want)
		}
		for result, n := range map[string]float64{resultDelivered: 3, resultUnavailable: 1, resultRateLimited: 2, resultRefused: 3} {
			if got := testutil.ToFloat64(w.n.metrics.webhook.WithLabelValues(result)); got != n {
				t.Errorf("%s: %v, want %v", result, got, n)
			}
		}
	})
}

func TestSignature(t *testing.T) {
	// Made with: printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
	want := "t=1700000000,v1=" + opensslHMAC
	if got := sign([]byte("secret"), []byte("{}"), time.Unix(1700000000, 0)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestCheckURL(t *testing.T) {
	f := func(url string, ok bool) {
		t.Helper()
		if err := CheckURL(url); (err == nil) != ok {
			t.Errorf("%s: %v", url, err)
		}
	}
	f("https://alerts.example.com/in?x=y", true)
	f("http://127.0.0.1:8080/", true)
	f("http://[::1]:8080/", true)
	f("http://localhost/", true)
	f("http://alerts.example.com/", false)
	f("http://127.0.0.1.example.com/", false)
	f("http://10.0.0.1/", false)
	f("https://user:password@example.com/", false)
	f("ftp://example.com/", false)
	f("https://", false)
	f("https:example.com", false)
	f("", false)
}

func TestCheckAddress(t *testing.T) {
	f := func(address string, local, ok bool) {
		t.Helper()
		if err := checkAddress(address, local); (err == nil) != ok {
			t.Errorf("%s, without TLS %v: %v", address, local, err)
		}
	}
	f("127.0.0.1:80", true, true)
	f("[::1]:80", true, true)
	f("[::ffff:127.0.0.1]:80", true, true)
	f("10.0.0.1:80", true, false) // what localhost was made to mean
	f("10.0.0.1:443", false, true)
	f("169.254.169.254:443", false, false)
	f("[::ffff:169.254.169.254]:443", false, false)
	f("[fe80::1%eth0]:443", false, false)
	f("0.0.0.0:443", false, false)
	f("224.0.0.1:443", false, false)
	f("nonsense", false, false)
}

// Without Slack and webhook an alert is a line of the log: when it is new, becomes worse, or ends.
func TestPrinted(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var out strings.Builder
		w.deps.Log = jsonLog(&out)
		w.cfg.Slack = DefaultConfig().Slack
		w.start()
		in := incident(anomaly.Medium)
		in.Title = "two\nlines"
		w.say(in)
		in = next(in, func(in *anomaly.Incident) { in.CostUSD++ })
		w.say(in)
		in = next(in, func(in *anomaly.Incident) { in.Severity = anomaly.High })
		w.say(in)
		in = next(in, func(in *anomaly.Incident) { in.Status = anomaly.Final })
		w.say(in)
		w.pass(time.Minute)
		w.stop()
		if strings.Count(out.String(), `"msg":"alert"`) != 3 || !strings.Contains(out.String(), "Slack is off") || !strings.Contains(out.String(), `"title":"two lines"`) ||
			!strings.Contains(out.String(), in.Subject.String()) {
			t.Error(out.String())
		}
	})
}

const opensslHMAC = "b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163"
