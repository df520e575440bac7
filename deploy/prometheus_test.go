package deploy_test

import (
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func rules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	readYAML(t, "deploy/prometheus/rules.yml", &file)
	var all []rule
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

type scrapeJob struct {
	Name string `yaml:"job_name"`
	DNS  []struct {
		Names []string `yaml:"names"`
		Type  string   `yaml:"type"`
		Port  int      `yaml:"port"`
	} `yaml:"dns_sd_configs"`
	Static []struct {
		Targets []string `yaml:"targets"`
	} `yaml:"static_configs"`
}

func scrapeJobs(t *testing.T) map[string]scrapeJob {
	t.Helper()
	var file struct {
		Global    map[string]string `yaml:"global"`
		RuleFiles []string          `yaml:"rule_files"`
		Scrape    []scrapeJob       `yaml:"scrape_configs"`
	}
	readYAML(t, "deploy/prometheus/prometheus.yml", &file)
	if !slices.Equal(file.RuleFiles, []string{"rules.yml"}) {
		t.Errorf("rule files %v", file.RuleFiles)
	}
	jobs := map[string]scrapeJob{}
	for _, job := range file.Scrape {
		jobs[job.Name] = job
	}
	return jobs
}

// Every alert is about metrics and jobs that exist, and leads to a section that says what to do.
func TestAlerts(t *testing.T) {
	known := knownMetrics(t)
	anchors := headings(t, "docs/operations.md")
	jobs := scrapeJobs(t)
	seen := map[string]bool{}
	for _, r := range rules(t) {
		checkExpression(t, known, r.Alert, r.Expr)
		if seen[r.Alert] || !strings.HasPrefix(r.Alert, "Agentaudit") {
			t.Errorf("%s: its name is not its own", r.Alert)
		}
		seen[r.Alert] = true
		if severity := r.Labels["severity"]; severity != "critical" && severity != "warning" {
			t.Errorf("%s: severity %q", r.Alert, severity)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s does not say what it is", r.Alert)
		}
		anchor, ok := strings.CutPrefix(r.Annotations["runbook_url"], "docs/operations.md#")
		if !ok || !slices.Contains(anchors, anchor) {
			t.Errorf("%s: no section %s", r.Alert, r.Annotations["runbook_url"])
		}
		for _, m := range regexp.MustCompile(`job=~?"([^"]*)"`).FindAllStringSubmatch(r.Expr, -1) {
			pattern := regexp.MustCompile("^(?:" + m[1] + ")$")
			found := false
			for name := range jobs {
				found = found || pattern.MatchString(name)
			}
			if !found {
				t.Errorf("%s: no job is called %s", r.Alert, m[1])
			}
		}
	}
}

// Prometheus asks our services, by their names in Compose, at the ports that they listen on.
func TestScrapedPorts(t *testing.T) {
	p := project(t)
	jobs := scrapeJobs(t)
	for name, listen := range map[string]func(config.Config) string{
		"ingest":   func(c config.Config) string { return c.HTTP.Ingest },
		"exporter": func(c config.Config) string { return c.HTTP.Exporter },
		"detector": func(c config.Config) string { return c.HTTP.Detector },
	} {
		s := service(t, p, name)
		c, err := config.Load(config.Sources{Env: environment(s)})
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(listen(c))
		job := jobs["agentaudit-"+name]
		if len(job.DNS) != 1 || !slices.Equal(job.DNS[0].Names, []string{name}) || job.DNS[0].Type != "A" || strconv.Itoa(job.DNS[0].Port) != port {
			t.Errorf("%s listens on %s, Prometheus asks %+v", name, port, job.DNS)
		}
		if _, in := s.Networks["monitoring"]; !in {
			t.Errorf("Prometheus does not reach %s", name)
		}
	}
	if target := jobs["clickhouse"].Static[0].Targets[0]; target != "clickhouse:9363" || !strings.Contains(read(t, "deploy/clickhouse/server.xml"), "<port>9363</port>") {
		t.Errorf("ClickHouse is asked at %s", target)
	}
}

// Prometheus' own tool accepts rules and configuration, and the alerts fire when rules_test.yml says.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		testkit.Missing(t, "promtool is not installed (make test-deps installs it on Debian)")
	}
	for _, args := range [][]string{
		{"check", "rules", "rules.yml"},
		{"check", "config", "prometheus.yml"},
		{"test", "rules", "rules_test.yml"},
	} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = filepath.Join(testkit.Root(t), "deploy", "prometheus")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
