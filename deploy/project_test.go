package deploy_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

// ours are the services that run our programs.
var ours = []string{"setup", "ingest", "exporter", "detector"}

// project is docker-compose.yml as Docker Compose itself understands it, without any variable set.
func project(t *testing.T) *types.Project {
	t.Helper()
	root := testkit.Root(t)
	p, err := loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  root,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(root, "docker-compose.yml")}},
		Environment: types.Mapping{},
	})
	if err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	return p
}

// service returns one service.
func service(t *testing.T, p *types.Project, name string) types.ServiceConfig {
	t.Helper()
	s, ok := p.Services[name]
	if !ok {
		t.Fatalf("docker-compose.yml has no service %s", name)
	}
	return s
}

// environment is what a service's program finds in its environment, as os.Environ would return it.
func environment(s types.ServiceConfig) []string {
	var pairs []string
	for name, value := range s.Environment {
		if value != nil {
			pairs = append(pairs, name+"="+*value)
		}
	}
	slices.Sort(pairs)
	return pairs
}

// mounted says which volume or secret a path in the container belongs to, and what remains of the path.
func mounted(s types.ServiceConfig, path string) (source, rest string, found bool) {
	if name, ok := strings.CutPrefix(path, "/run/secrets/"); ok {
		for _, secret := range s.Secrets {
			if secret.Source == name {
				return name, "", true
			}
		}
	}
	for _, v := range s.Volumes {
		if rest, ok := strings.CutPrefix(path+"/", v.Target+"/"); ok && v.Type == types.VolumeTypeVolume {
			return v.Source, strings.TrimSuffix(rest, "/"), true
		}
	}
	return "", "", false
}
