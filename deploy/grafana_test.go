package deploy_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

type dashboard struct {
	UID    string
	Panels []struct {
		ID         int
		Type       string
		Title      string
		Datasource struct{ UID string }
		Targets    []struct {
			Expr       string
			Datasource struct{ UID string }
		}
	}
}

// Panels show metrics that exist, from the data source that is provisioned.
func TestDashboards(t *testing.T) {
	var sources struct {
		Version     int              `yaml:"apiVersion"`
		Datasources []map[string]any `yaml:"datasources"`
	}
	readYAML(t, "deploy/grafana/provisioning/datasources/prometheus.yml", &sources)
	source := sources.Datasources[0]
	if source["url"] != "http://prometheus:9090" {
		t.Errorf("Grafana asks %v", source["url"])
	}
	var providers struct {
		Version   int `yaml:"apiVersion"`
		Providers []struct {
			Name, Type     string
			AllowUIUpdates bool `yaml:"allowUiUpdates"`
			Options        struct{ Path string }
		}
	}
	readYAML(t, "deploy/grafana/provisioning/dashboards/agentaudit.yml", &providers)
	place := ""
	for _, v := range service(t, project(t), "grafana").Volumes {
		if v.Source == filepath.Join(testkit.Root(t), "deploy", "grafana", "dashboards") {
			place = v.Target
		}
	}
	if place == "" || providers.Providers[0].Options.Path != place {
		t.Errorf("dashboards are mounted at %q and looked for in %q", place, providers.Providers[0].Options.Path)
	}

	var d dashboard
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/dashboards/agentaudit.json")), &d); err != nil {
		t.Fatal(err)
	}
	known := knownMetrics(t)
	ids := map[int]bool{}
	for _, panel := range d.Panels {
		if ids[panel.ID] {
			t.Errorf("panel %q: another one has its id", panel.Title)
		}
		ids[panel.ID] = true
		if panel.Type == "row" {
			continue
		}
		if len(panel.Targets) == 0 || panel.Datasource.UID != source["uid"] {
			t.Errorf("panel %q asks nobody", panel.Title)
		}
		for _, target := range panel.Targets {
			checkExpression(t, known, panel.Title, target.Expr)
			if target.Datasource.UID != source["uid"] {
				t.Errorf("panel %q asks %s", panel.Title, target.Datasource.UID)
			}
		}
	}
	if d.UID == "" || !strings.Contains(read(t, "docs/operations.md"), "/d/"+d.UID) {
		t.Error("docs/operations.md does not lead to the dashboard")
	}
}
