package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

// The image is built as make builds: same Go, same flags, every folder that the build reads.
func TestDockerfileBuildsWhatMakeBuilds(t *testing.T) {
	dockerfile := read(t, "Dockerfile")
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "go.mod"))[1]
	if !strings.Contains(dockerfile, "golang:"+goVersion+"-") {
		t.Errorf("the builder's Go is not %s, which go.mod asks for", goVersion)
	}
	const version = "-X github.com/agentaudit/agentaudit/internal/telemetry.version="
	if !strings.Contains(dockerfile, version) || !strings.Contains(read(t, "Makefile"), version) {
		t.Error("the version is set in another place than make sets it")
	}
	ignore := read(t, ".dockerignore")
	folders, err := os.ReadDir(testkit.Root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if !folder.IsDir() || strings.HasPrefix(folder.Name(), ".") || folder.Name() == "deploy" {
			continue
		}
		// A folder with Go files in it belongs to the build.
		code, err := filepath.Glob(filepath.Join(testkit.Root(t), folder.Name(), "*.go"))
		deeper, err2 := filepath.Glob(filepath.Join(testkit.Root(t), folder.Name(), "*", "*.go"))
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if len(code)+len(deeper) > 0 && !strings.Contains(ignore, "\n!"+folder.Name()+"\n") {
			t.Errorf(".dockerignore keeps %s from the build", folder.Name())
		}
	}
	// Volumes for keys are mounted where the image has a folder of the right owner.
	for _, name := range ours {
		s := service(t, project(t), name)
		for _, v := range s.Volumes {
			folder, ok := strings.CutPrefix(v.Target, "/var/lib/agentaudit/")
			if !ok || !strings.Contains(dockerfile, "/out/keys/"+folder) {
				t.Errorf("%s: the image has no folder for %s", name, v.Target)
			}
		}
		if len(s.Entrypoint) > 0 {
			program := filepath.Base(s.Entrypoint[0])
			if _, err := os.Stat(filepath.Join(testkit.Root(t), "cmd", program)); err != nil || s.Entrypoint[0] != "/usr/local/bin/"+program {
				t.Errorf("%s runs %v", name, s.Entrypoint)
			}
		}
	}
}

// Units run programs that there are, and read the example's place.
func TestUnits(t *testing.T) {
	for _, unit := range []string{"agentaudit@.service", "agentaudit-setup.service"} {
		start := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/(\S+) (.*)$`).FindStringSubmatch(read(t, "deploy/systemd/"+unit))
		if start == nil || !strings.Contains(start[2], "--config /etc/agentaudit/agentaudit.yaml") {
			t.Errorf("%s: %v", unit, start)
			continue
		}
		if _, err := os.Stat(filepath.Join(testkit.Root(t), "cmd", start[1])); start[1] != "%i" && err != nil {
			t.Errorf("%s: %v", unit, err)
		}
	}
}
