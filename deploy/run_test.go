package deploy_test

import (
	"bufio"
	"context"
	"debug/elf"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

// startTimeout is for a machine that runs other tests as well.
const startTimeout = 2 * time.Minute

// deployment runs our services as docker-compose.yml describes them, without containers: their programs, commands and
// environment, with other addresses, and with folders in place of volumes and secrets.
type deployment struct {
	project *types.Project
	bin     string // programs
	volumes string // a folder for each volume
	secrets string // a file for each secret
	// instead has values that differ from those in docker-compose.yml: addresses, and names that keep tests apart on engines
	// that they share. The rest is as it stands there.
	instead map[string]string
	witness string // for the exporter
}

// The programs start with the environment that Compose gives them, become ready as its health checks ask, and seal.
func TestServicesRunWithTheirEnvironment(t *testing.T) {
	d := newDeployment(t)
	for range 2 { // as if "docker compose up" were run again
		d.run(t, "setup", "")
	}
	running := map[string]*testkit.Process{}
	for _, name := range []string{"ingest", "exporter", "detector"} {
		running[name] = d.start(t, name)
	}
	for name, process := range running {
		d.awaitHealthy(t, name, process)
	}

	event := `{"schema":"agentaudit.event/v1","event_id":"01920000-0000-7000-8000-000000000001","time":"2026-11-20T21:14:05Z",` +
		`"type":"tool.call","action":"search","outcome":"success","tenant":"acme","user_id":"zoe","content":{"input":"a private matter"}}` + "\n"
	d.run(t, "setup", event, "emit")
	testkit.Eventually(t, startTimeout, func() bool {
		out := d.run(t, "setup", "", "query", "SELECT count() FROM events WHERE kind = 'event' AND tenant = 'acme'")
		return strings.TrimSpace(out) == "1"
	}, "the event is stored")
	d.run(t, "setup", "", "verify")
	d.alertsHaveMetrics(t)

	for name, process := range running {
		if err := process.Terminate(30 * time.Second); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func newDeployment(t *testing.T) *deployment {
	t.Helper()
	broker, dsn, clickhouse := testkit.RealKafka(t), testkit.Postgres(t), testkit.ClickHouse(t)
	d := &deployment{project: project(t), bin: programs(t), volumes: t.TempDir(), secrets: makeSecrets(t)}
	witness := testkit.StartWitness(t, "witness.example")
	d.witness = witness.URL + " " + witness.VKey
	d.instead = map[string]string{
		"AGENTAUDIT_KAFKA__BROKERS":             broker,
		"AGENTAUDIT_CLICKHOUSE__ADDRESSES":      clickhouse.URL,
		"AGENTAUDIT_CLICKHOUSE__DATABASE":       clickhouse.Database,
		"AGENTAUDIT_CLICKHOUSE__USER":           clickhouse.User, // the engine has one user only
		"AGENTAUDIT_INGEST__TOPICS__EVENTS":     clickhouse.Database + ".events",
		"AGENTAUDIT_INGEST__TOPICS__SYSTEM":     clickhouse.Database + ".system",
		"AGENTAUDIT_EXPORTER__CHECKPOINT_TOPIC": clickhouse.Database + ".checkpoints",
		"AGENTAUDIT_HTTP__INGEST":               freeAddress(t),
		"AGENTAUDIT_HTTP__EXPORTER":             freeAddress(t),
		"AGENTAUDIT_HTTP__DETECTOR":             freeAddress(t),
	}
	t.Cleanup(func() {
		testkit.DeleteTopic(t, broker, d.instead["AGENTAUDIT_INGEST__TOPICS__EVENTS"])
		testkit.DeleteTopic(t, broker, d.instead["AGENTAUDIT_INGEST__TOPICS__SYSTEM"])
		testkit.DeleteTopic(t, broker, d.instead["AGENTAUDIT_EXPORTER__CHECKPOINT_TOPIC"])
		testkit.DeleteTopic(t, broker, d.instead["AGENTAUDIT_CLICKHOUSE__DATABASE"]+".requests")
		testkit.DeleteTopic(t, broker, d.instead["AGENTAUDIT_CLICKHOUSE__DATABASE"]+".alerts")
	})
	for name := range d.project.Volumes {
		if err := os.Mkdir(filepath.Join(d.volumes, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name := range d.project.Secrets {
		if strings.HasPrefix(name, "clickhouse-agentaudit_") {
			d.writeSecret(t, name, clickhouse.Password)
		}
	}
	d.writeSecret(t, "vault-dsn", dsn)
	return d
}

func (d *deployment) writeSecret(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.secrets, name), []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
}

// environment is the service's own, with paths and addresses of this machine. Everything that is not in docker-compose.yml
// is absent, but for the consumer groups and the topic of requests, which are shared with other tests otherwise, and a witness, because there is an alert about witnesses.
func (d *deployment) environment(t *testing.T, s types.ServiceConfig) []string {
	t.Helper()
	pairs := []string{
		"AGENTAUDIT_INGEST__GROUP=" + d.instead["AGENTAUDIT_CLICKHOUSE__DATABASE"],
		"AGENTAUDIT_DETECTOR__GROUP=" + d.instead["AGENTAUDIT_CLICKHOUSE__DATABASE"] + "-detector",
		"AGENTAUDIT_EXPORTER__GDPR__GROUP=" + d.instead["AGENTAUDIT_CLICKHOUSE__DATABASE"] + "-exporter",
		"AGENTAUDIT_EXPORTER__GDPR__TOPIC=" + d.instead["AGENTAUDIT_CLICKHOUSE__DATABASE"] + ".requests",
		"AGENTAUDIT_DETECTOR__ALERTS_TOPIC=" + d.instead["AGENTAUDIT_CLICKHOUSE__DATABASE"] + ".alerts",
		"AGENTAUDIT_EXPORTER__WITNESSES=" + d.witness,
	}
	for _, pair := range environment(s) {
		name, value, _ := strings.Cut(pair, "=")
		if other, ok := d.instead[name]; ok {
			value = other
		}
		scheme, path := "", value
		if rest, ok := strings.CutPrefix(value, "file:"); ok {
			scheme, path = "file:", rest
		}
		if filepath.IsAbs(path) {
			value = scheme + d.path(t, s, path)
		}
		pairs = append(pairs, name+"="+value)
	}
	return pairs
}

// path is where a path in the service's container is here.
func (d *deployment) path(t *testing.T, s types.ServiceConfig, path string) string {
	t.Helper()
	source, rest, found := mounted(s, path)
	switch {
	case !found:
		t.Fatalf("%s: nothing is mounted at %s", s.Name, path)
	case rest == "":
		return filepath.Join(d.secrets, source)
	}
	return filepath.Join(d.volumes, source, rest)
}

// command is the service's program with other arguments than the service's own, if any are given.
func (d *deployment) command(ctx context.Context, t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	s := service(t, d.project, name)
	line := append(slices.Clone([]string(s.Entrypoint)), s.Command...)
	if len(s.Entrypoint) == 0 {
		line = append([]string{"agentaudit"}, s.Command...) // the image's own entry point
	}
	if len(args) > 0 {
		line = append(line[:1], args...)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, filepath.Base(line[0])), line[1:]...)
	cmd.Env = d.environment(t, s)
	return cmd
}

// run runs a service to its end, as "docker compose run --rm" does, and returns what it prints.
func (d *deployment) run(t *testing.T, name, input string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	cmd := d.command(ctx, t, name, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func (d *deployment) start(t *testing.T, name string) *testkit.Process {
	t.Helper()
	return testkit.Start(t, d.command(context.Background(), t, name)) // ended by the test, at the latest when it ends
}

// awaitHealthy runs the service's health check until it succeeds.
func (d *deployment) awaitHealthy(t *testing.T, name string, process *testkit.Process) {
	t.Helper()
	s := service(t, d.project, name)
	check := s.HealthCheck.Test // CMD, program, healthcheck, URL
	if len(check) != 4 || check[0] != "CMD" {
		t.Fatalf("%s: health check %v", name, check)
	}
	listen := "AGENTAUDIT_HTTP__" + strings.ToUpper(name)
	address := strings.Replace(check[3], "127.0.0.1"+*s.Environment[listen], d.instead[listen], 1)
	last := ""
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last health check of %s printed %q", name, last)
		}
	})
	testkit.Eventually(t, startTimeout, func() bool {
		select {
		case <-process.Done():
			t.Fatalf("%s ended:\n%s", name, process.Output())
		default:
		}
		cmd := exec.CommandContext(t.Context(), filepath.Join(d.bin, filepath.Base(check[1])), check[2], address)
		cmd.Env = []string{}
		out, err := cmd.CombinedOutput()
		last = string(out)
		return err == nil
	}, name+" is healthy")
}

// alertsHaveMetrics looks for the metrics of all alerts where they are served. Those that appear with the first fault are
// left out.
func (d *deployment) alertsHaveMetrics(t *testing.T) {
	t.Helper()
	later := []string{"up", "agentaudit_ingest_stopped", "agentaudit_kafka_fetch_failures_total", "agentaudit_gdpr_earliest_due_seconds", "agentaudit_gdpr_breach_deadline_seconds", "agentaudit_vault_forged_rows_total", "agentaudit_alerts_waiting_seconds"}
	var wanted []string
	for _, r := range rules(t) {
		for _, name := range metricsOf(r.Expr) {
			if !slices.Contains(later, name) {
				wanted = append(wanted, name)
			}
		}
	}
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	var missing []string
	t.Cleanup(func() {
		if len(missing) > 0 {
			t.Logf("alerts are about %v, which no process serves", missing)
		}
	})
	testkit.Eventually(t, startTimeout, func() bool {
		served := d.served(t)
		missing = slices.DeleteFunc(slices.Clone(wanted), func(name string) bool { return slices.Contains(served, name) })
		return len(missing) == 0
	}, "the metrics of all alerts are served")
}

// served are the metrics that the three processes serve.
func (d *deployment) served(t *testing.T) (names []string) {
	t.Helper()
	for _, name := range []string{"INGEST", "EXPORTER", "DETECTOR"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+d.instead["AGENTAUDIT_HTTP__"+name]+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Close = true
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			if metric := word.FindString(lines.Text()); !strings.HasPrefix(lines.Text(), "#") && metric != "" {
				names = append(names, metric)
			}
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	return names
}

// programs builds the four programs as make and the Dockerfile do, and checks that they start on the image that the
// Dockerfile puts them on.
func programs(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/...")
	cmd.Dir = testkit.Root(t)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	static := strings.Contains(read(t, "Dockerfile"), "distroless/static")
	for _, name := range []string{"agentaudit", "ingest", "exporter", "detector"} {
		program, err := elf.Open(filepath.Join(bin, name))
		if err != nil {
			t.Fatal(err)
		}
		libraries, err := program.ImportedLibraries()
		if err != nil {
			t.Fatal(err)
		}
		if static && len(libraries) > 0 {
			t.Errorf("%s needs %v, which are not in the image", name, libraries)
		}
		if err := program.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
