package deploy_test

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

// What holds for every container, ours and others'.
func TestComposeIsHardened(t *testing.T) {
	pinned := regexp.MustCompile(`:v?\d+\.\d+(\.\d+)*$`)
	for name, s := range project(t).Services {
		f := func(ok bool, what string) {
			t.Helper()
			if !ok {
				t.Errorf("%s: %s", name, what)
			}
		}
		f(s.ReadOnly, "its root can be written to")
		f(slices.Equal(s.CapDrop, []string{"ALL"}) && len(s.CapAdd) == 0, "it keeps capabilities")
		f(slices.Contains(s.SecurityOpt, "no-new-privileges:true"), "it can gain privileges")
		f(!s.Privileged && s.NetworkMode == "" && s.Pid == "" && s.Ipc == "", "it shares something with the host")
		limits := &types.Resource{}
		if s.Deploy != nil && s.Deploy.Resources.Limits != nil {
			limits = s.Deploy.Resources.Limits
		}
		f(limits.MemoryBytes > 0 && limits.NanoCPUs > 0 && limits.Pids > 0, "it has no limits of memory, CPU and processes")
		f(s.Logging != nil && s.Logging.Options["max-size"] != "", "its log grows without bound")
		f(s.Build != nil || pinned.MatchString(s.Image), "image "+s.Image+" is not pinned")
		f(name == "setup" || s.HealthCheck != nil, "it has no health check")
		f((name == "setup") == (s.Restart == "no"), "restart policy "+s.Restart)
		for _, p := range s.Ports {
			f(net.ParseIP(p.HostIP).IsLoopback(), "port "+p.Published+" is open to the network")
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				_, err := os.Stat(v.Source)
				f(err == nil && v.ReadOnly, v.Source+" is not there, or can be written to")
			}
		}
		for variable, value := range s.Environment {
			secret := regexp.MustCompile(`PASSWORD|SECRET|TOKEN|_DSN`).MatchString(variable) && !strings.HasSuffix(variable, "_FILE")
			f(!secret || value == nil, variable+" is a secret in the environment")
		}
	}
}

// The vault's network and the keys are for those who need them.
func TestComposeKeepsTheVaultApart(t *testing.T) {
	p := project(t)
	uses := func(has func(types.ServiceConfig) bool) (names []string) {
		for name, s := range p.Services {
			if has(s) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	volume := func(source string) func(types.ServiceConfig) bool {
		return func(s types.ServiceConfig) bool {
			return slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Source == source })
		}
	}
	f := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	f("in the vault's network", uses(func(s types.ServiceConfig) bool { _, in := s.Networks["vault"]; return in }), "detector", "exporter", "ingest", "setup", "vault")
	f("have the keyring", uses(volume("keyring")), "detector", "exporter", "ingest", "setup")
	f("have the exporter's key", uses(volume("author-key")), "exporter", "setup")
	f("have the detector's key", uses(volume("detector-key")), "detector", "setup")
	f("have archives of people's data", uses(volume("exports")), "exporter", "setup")
	f("have the vault's data", uses(volume("vault-data")), "vault")
	if !p.Networks["vault"].Internal {
		t.Error("the vault's network leads outside")
	}
	for _, name := range []string{"ingest", "exporter", "detector"} {
		for _, v := range service(t, p, name).Volumes {
			if !v.ReadOnly && !(name == "exporter" && v.Source == "exports") {
				t.Errorf("%s can write to %s", name, v.Source)
			}
		}
	}
}

// Each of our services gets an environment that its program accepts, and all mean the same systems.
func TestComposeConfiguresOurServices(t *testing.T) {
	p := project(t)
	loaded := map[string]config.Config{}
	for _, name := range ours {
		s := service(t, p, name)
		c, err := config.Load(config.Sources{Env: environment(s)})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		loaded[name] = c
		for variable, value := range s.Environment {
			// Load leaves variables alone that look like somebody else's.
			key := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(variable, "AGENTAUDIT_"), "__", "."))
			if !slices.Contains(config.Known(), key) {
				t.Errorf("%s: %s sets no key", name, variable)
			}
			path := strings.TrimPrefix(*value, "file:")
			if _, _, found := mounted(s, path); filepath.IsAbs(path) && !found {
				t.Errorf("%s: %s=%s is in no volume and no secret of the service", name, variable, *value)
			}
		}
	}
	setup := loaded["setup"]
	for _, name := range ours {
		c := loaded[name]
		f := func(what, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %s is %q, in setup %q", name, what, got, want)
			}
		}
		f("deployment", c.Deployment, setup.Deployment)
		f("brokers", strings.Join(c.Kafka.Brokers, ","), strings.Join(setup.Kafka.Brokers, ","))
		f("events topic", c.Ingest.Topics.Events, setup.Ingest.Topics.Events)
		f("system topic", c.Ingest.Topics.System, setup.Ingest.Topics.System)
		if name != "detector" { // which does not know ClickHouse
			f("ClickHouse", strings.Join(c.ClickHouse.Addresses, ","), strings.Join(setup.ClickHouse.Addresses, ","))
			f("database", c.ClickHouse.Database, setup.ClickHouse.Database)
		}
		f("vault", c.Vault.Driver+string(c.Vault.DSNFile), setup.Vault.Driver+string(setup.Vault.DSNFile))
		f("keyring", string(c.Keys.Source), string(setup.Keys.Source))
	}
	if loaded["exporter"].Exporter.AuthorKeyFile != setup.Exporter.AuthorKeyFile {
		t.Error("setup makes another author's key than the exporter uses")
	}
	if loaded["detector"].Detector.AuthorKeyFile != setup.Detector.AuthorKeyFile {
		t.Error("setup makes another author's key than the detector uses")
	}
}

// The addresses that our services are given are those that the others listen on.
func TestComposeAddressesFit(t *testing.T) {
	p := project(t)
	c, err := config.Load(config.Sources{Env: environment(service(t, p, "setup"))})
	if err != nil {
		t.Fatal(err)
	}
	kafka := service(t, p, "kafka")
	variable := func(name string) string {
		if v := kafka.Environment[name]; v != nil {
			return *v
		}
		return ""
	}
	listeners := func(name string) map[string]string {
		found := map[string]string{}
		for part := range strings.SplitSeq(variable(name), ",") {
			listener, address, _ := strings.Cut(part, "://")
			found[listener] = address
		}
		return found
	}
	advertised, bound := listeners("KAFKA_ADVERTISED_LISTENERS"), listeners("KAFKA_LISTENERS")
	for name, address := range advertised {
		_, want, _ := net.SplitHostPort(address)
		_, got, _ := net.SplitHostPort(bound[name])
		if want != got || got == "" {
			t.Errorf("kafka: listener %s is advertised as %s and listens on %s", name, address, bound[name])
		}
		if !strings.Contains(variable("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"), name+":") {
			t.Errorf("kafka: listener %s has no protocol", name)
		}
	}
	if len(c.Kafka.Brokers) != 1 || c.Kafka.Brokers[0] != advertised["CONTAINERS"] || variable("KAFKA_INTER_BROKER_LISTENER_NAME") != "CONTAINERS" {
		t.Errorf("kafka.brokers %v, containers are told %s", c.Kafka.Brokers, advertised["CONTAINERS"])
	}
	_, host, _ := net.SplitHostPort(advertised["HOST"])
	if len(kafka.Ports) != 1 || kafka.Ports[0].Published != host {
		t.Errorf("kafka publishes %v and tells the host's clients %s", kafka.Ports, advertised["HOST"])
	}
	for _, address := range c.ClickHouse.Addresses {
		if address != "http://clickhouse:8123" { // the image's port
			t.Errorf("ClickHouse at %s", address)
		}
	}
	// The port that a process listens on is the one of its health check, and of what it publishes.
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
		if want := "http://127.0.0.1:" + port + "/readyz"; !slices.Contains(s.HealthCheck.Test, want) {
			t.Errorf("%s: its health check is %v, want %s", name, s.HealthCheck.Test, want)
		}
		for _, published := range s.Ports {
			if published.Published != port {
				t.Errorf("%s publishes %s and listens on %s", name, published.Published, port)
			}
		}
		if after := s.DependsOn["setup"]; after.Condition != types.ServiceConditionCompletedSuccessfully {
			t.Errorf("%s does not wait for setup", name)
		}
	}
}

// The Kafka that Compose starts is the one that the tests run against.
func TestComposeKafkaIsTheTestedOne(t *testing.T) {
	version := regexp.MustCompile(`<kafka\.version>([0-9.]+)</kafka\.version>`).FindStringSubmatch(read(t, "internal/testkit/kafka/pom.xml"))
	if image := service(t, project(t), "kafka").Image; version == nil || image != "apache/kafka:"+version[1] {
		t.Errorf("the image is %s, the tests' version %v", image, version)
	}
}

// Docker Compose reads its own variables from the environment and from .env; the README names them.
func TestComposeVariablesHaveDefaults(t *testing.T) {
	text := read(t, "docker-compose.yml")
	for _, use := range regexp.MustCompile(`\$\{[^}]*\}`).FindAllString(text, -1) {
		name, _, ok := strings.Cut(strings.Trim(use, "${}"), ":-")
		if !ok {
			t.Errorf("%s has no default", use)
		}
		if !strings.Contains(read(t, "docs/operations.md"), "`"+name+"`") {
			t.Errorf("docs/operations.md does not tell of %s", name)
		}
	}
}

// make-secrets makes every secret that docker-compose.yml names, and never replaces one.
func TestComposeSecrets(t *testing.T) {
	p := project(t)
	folder := makeSecrets(t)
	before := map[string]string{}
	for name, secret := range p.Secrets {
		if want := filepath.Join(testkit.Root(t), "deploy", "compose", "secrets", filepath.Base(secret.File)); secret.File != want {
			t.Errorf("secret %s is %s, outside of deploy/compose/secrets", name, secret.File)
		}
		text, err := os.ReadFile(filepath.Join(folder, filepath.Base(secret.File)))
		if err != nil || len(text) < 32 {
			t.Errorf("secret %s: %d bytes, %v", name, len(text), err)
		}
		before[name] = string(text)
	}
	runMakeSecrets(t, folder)
	for name, secret := range p.Secrets {
		if text, err := os.ReadFile(filepath.Join(folder, filepath.Base(secret.File))); err != nil || string(text) != before[name] {
			t.Errorf("secret %s is another one now (%v)", name, err)
		}
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others can read %s: %v, %v", folder, info.Mode(), err)
	}
	// The vault's connection string fits the server.
	vault := service(t, p, "vault")
	password := before["vault-password"]
	want := "postgres://" + *vault.Environment["POSTGRES_USER"] + ":" + password + "@vault:5432/" + *vault.Environment["POSTGRES_DB"] + "?sslmode=disable"
	if before["vault-dsn"] != want {
		t.Error("vault-dsn does not fit user, password and database of the service vault")
	}
	if !strings.Contains(read(t, "deploy/compose/.gitignore"), "/secrets/") {
		t.Error("git would take the secrets")
	}
}
