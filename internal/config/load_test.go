package config

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write makes a configuration file.
func write(t *testing.T, yaml string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultsAreValid(t *testing.T) {
	c, err := Load(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	if want := DefaultConfig(); fmt.Sprint(c) != fmt.Sprint(want) {
		t.Errorf("got %v, want the defaults %v", c, want)
	}
}

func TestLaterSourcesWin(t *testing.T) {
	file := write(t, `
deployment: from-file
kafka:
  brokers: [a:1, b:2]
  client_id: from-file
ingest:
  batch:
    linger: 50ms
    max_bytes: 4MiB
log:
`)
	c, err := Load(Sources{
		File: file,
		Env: []string{
			"AGENTAUDIT_KAFKA__BROKERS=c:3, d:4", "AGENTAUDIT_INGEST__BATCH__LINGER=60ms", "AGENTAUDIT_DEPLOYMENT=from-env",
			"AGENTAUDIT_CACHE=/x", "AGENTAUDIT_INGEST_PORT=tcp://1.2.3.4:5", "PATH=/bin",
		},
		Set: []string{"ingest.batch.linger=70ms", "kafka.partitions=7", "kafka.tls.enabled=true", "detector.threshold=2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(c.Kafka.Brokers) != "[c:3 d:4]" || c.Deployment != "from-env" || c.Kafka.ClientID != "from-file" {
		t.Errorf("brokers %v, deployment %s, client id %s", c.Kafka.Brokers, c.Deployment, c.Kafka.ClientID)
	}
	if c.Detector.Threshold != 2 {
		t.Errorf("threshold %v", c.Detector.Threshold)
	}
	if c.Ingest.Batch.Linger != 70*time.Millisecond || c.Ingest.Batch.MaxBytes != 4<<20 || c.Kafka.Partitions != 7 || !c.Kafka.TLS.Enabled {
		t.Errorf("got %+v, %+v", c.Ingest.Batch, c.Kafka)
	}
}

func TestPathsOfTheFileAreMeantFromItsFolder(t *testing.T) {
	file := write(t, "vault:\n  path: v.db\nkeys:\n  source: file:keys/ring\nclickhouse:\n  password_file: /abs/pw\n")
	c, err := Load(Sources{File: file, Set: []string{"http.tls.cert_file=here.pem", "http.tls.key_file=key.pem"}})
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Dir(file)
	if string(c.Vault.Path) != filepath.Join(folder, "v.db") || string(c.Keys.Source) != "file:"+filepath.Join(folder, "keys/ring") {
		t.Errorf("vault %s, keys %s", c.Vault.Path, c.Keys.Source)
	}
	if c.ClickHouse.PasswordFile != "/abs/pw" || c.HTTP.TLS.CertFile != "here.pem" {
		t.Errorf("password %s, certificate %s", c.ClickHouse.PasswordFile, c.HTTP.TLS.CertFile)
	}
}

// Every bad configuration is one line that names the key, the value unless it is secret, and what is allowed.
func TestBadConfiguration(t *testing.T) {
	f := func(name string, from Sources, wanted ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			_, err := Load(from)
			if err == nil {
				t.Fatal("accepted")
			}
			if strings.ContainsRune(err.Error(), '\n') {
				t.Errorf("more than one line: %q", err)
			}
			for _, text := range wanted {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q tells the secret", err)
			}
		})
	}
	set := func(pairs ...string) Sources { return Sources{Set: pairs} }
	env := func(pairs ...string) Sources { return Sources{Env: pairs} }

	f("no such file", Sources{File: "/nowhere/c.yaml"}, "/nowhere/c.yaml", "no such file")
	f("not YAML", Sources{File: write(t, "a: [1\nb: 2")}, "config.yaml", "yaml")
	f("not a map", Sources{File: write(t, "- a\n- b\n")}, "config.yaml")
	f("the same key twice", Sources{File: write(t, "deployment: a\ndeployment: b\n")}, "deployment", "already defined")
	f("unknown key in the file", Sources{File: write(t, "kafka:\n  broker: [a:1]\n")}, `"kafka.broker"`, "did you mean kafka.brokers?", "config.yaml")
	f("unknown key in the environment", env("AGENTAUDIT_KAFKA__BROKER=a:1"), "kafka.brokers", "AGENTAUDIT_KAFKA__BROKER")
	f("unknown key in --set", set("ingest.batch.max_row=1"), "did you mean ingest.batch.max_rows?", "--set")
	f("a section", set("ingest.batch=1"), "ingest.batch: is a section", "ingest.batch.in_memory")
	f("no equals sign", set("kafka.brokers"), "--set", "key=value")

	f("not a number", set("kafka.partitions=many"), "kafka.partitions", `"many"`, "a whole number", "--set")
	f("a fraction", Sources{File: write(t, "kafka:\n  partitions: 1.5\n")}, "kafka.partitions", `"1.5"`, "a whole number")
	f("no number", set("detector.threshold=high"), "detector.threshold", `"high"`, "a number such as 1.7", "--set")
	f("a number out of bounds", Sources{File: write(t, "detector:\n  threshold: 0.99\n")}, "detector.threshold", `"0.99"`, "1 to 6")
	f("not any number", set("detector.threshold=NaN"), "detector.threshold", `"NaN"`, "1 to 6")
	f("nothing where a fraction must be", Sources{File: write(t, "detector:\n  threshold:\n")}, "detector.threshold: is empty")
	f("nothing where a number must be", Sources{File: write(t, "kafka:\n  partitions:\n")}, "kafka.partitions: is empty")
	f("a list where one value must be", Sources{File: write(t, "deployment: [a, b]\n")}, "deployment", "a single value")
	f("not a duration", set("ingest.batch.linger=200"), "ingest.batch.linger", `"200"`, "200ms")
	f("not a size", env("AGENTAUDIT_INGEST__BATCH__MAX_BYTES=lots"), "ingest.batch.max_bytes", `"lots"`, "64MiB", "AGENTAUDIT_INGEST__BATCH__MAX_BYTES")
	f("not a truth value", set("kafka.tls.enabled=maybe"), "kafka.tls.enabled", "true or false")
	f("a map where a list must be", Sources{File: write(t, "kafka:\n  brokers:\n    - {a: 1}\n")}, "kafka.brokers", "a list of texts")

	f("deployment", set("deployment=a b"), "deployment", `"a b"`, "letters, digits")
	f("no brokers", set("kafka.brokers="), "kafka.brokers", "at least one host:port")
	f("broker without port", set("kafka.brokers=localhost"), "kafka.brokers", `"localhost"`, "host:port")
	f("partitions", set("kafka.partitions=0"), "kafka.partitions", `"0"`, "1 to 1024")
	f("replication", set("kafka.replication_factor=0"), "kafka.replication_factor", "-1", "1 to 15")
	f("mechanism", set("kafka.sasl.mechanism=gssapi"), "kafka.sasl.mechanism", "scram-sha-512")
	f("no user name", set("kafka.sasl.mechanism=plain"), "kafka.sasl.username")
	f("no password", set("kafka.sasl.mechanism=plain", "kafka.sasl.username=u"), "kafka.sasl.password_file", "AGENTAUDIT_KAFKA__SASL__PASSWORD")
	f("user name without mechanism", set("kafka.sasl.username=u"), "kafka.sasl.username", "kafka.sasl.mechanism")
	f("TLS option without TLS", set("kafka.tls.ca_file=ca.pem"), "kafka.tls.ca_file", "kafka.tls.enabled")
	f("half a certificate", set("kafka.tls.enabled=true", "kafka.tls.cert_file=c.pem"), "kafka.tls.cert_file", "kafka.tls.key_file")
	f("address with a password", set("clickhouse.addresses=http://u:hunter2@h:1"), "clickhouse.addresses", "without user")
	f("two addresses without cluster", set("clickhouse.addresses=http://a:1,http://b:1"), "clickhouse.cluster")
	f("database", set("clickhouse.database=a;b"), "clickhouse.database", `"a;b"`)
	f("insert timeout below execution", set("clickhouse.insert_timeout=5s"), "clickhouse.insert_timeout", `"5s"`, "10s to 10m0s")
	f("driver", set("vault.driver=mysql"), "vault.driver", "sqlite, postgres")
	f("postgres without DSN", set("vault.driver=postgres"), "vault.dsn_file", "AGENTAUDIT_VAULT__DSN")
	f("key source", set("keys.source=keyring"), "keys.source", "file:PATH or env:NAME")
	f("rows", set("ingest.batch.max_rows=100001"), "ingest.batch.max_rows", `"100001"`, "1 to 100000")
	f("bytes", set("ingest.batch.max_bytes=65MiB"), "ingest.batch.max_bytes", `"65MiB"`, "1MiB to 64MiB")
	f("linger", set("ingest.batch.linger=-1s"), "ingest.batch.linger", "0s to 10s")
	f("policy", set("ingest.fields.session_id=hashed"), "ingest.fields.session_id", "clear, search, subject, sealed")
	f("policy of attributes", set("ingest.fields.attributes=subject"), "ingest.fields.attributes", "clear, sealed")
	f("one topic for two", set("ingest.topics.system=agent.events"), "ingest.topics.system")
	f("topic", set("ingest.topics.events=a/b"), "ingest.topics.events", `"a/b"`)
	f("memory", set("ingest.memory_limit=1MiB"), "ingest.memory_limit", `"1MiB"`, "128MiB")
	f("memory that the people fill", set("ingest.memory_limit=128MiB"), "ingest.memory_limit", `"128MiB"`, "ingest.subjects.max_cached")
	f("memory that the batches fill", set("ingest.memory_limit=256MiB", "ingest.subjects.max_cached=8192", "ingest.batch.in_memory=32"), "ingest.memory_limit", "ingest.batch")
	const aWitness = "https://w.example test+64b503f8+BOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs"
	f("witness without a key", set("exporter.witnesses=https://u:hunter2@w.example"), "exporter.witnesses", "number 1", "public key of a witness")
	f("witness twice", set("exporter.witnesses="+aWitness+","+aWitness), "exporter.witnesses", "listed once")
	f("witness of our name", set("deployment=test", "exporter.witnesses="+aWitness), "exporter.witnesses", "another name than the deployment")
	f("too many witnesses", set("exporter.witnesses="+strings.Repeat(aWitness+",", 17)+aWitness), "exporter.witnesses", "16 witnesses at most")
	f("no witness to require", set("exporter.witness_required=true"), "exporter.witness_required", "exporter.witnesses")
	f("listen", set("http.exporter=8080"), "http.exporter", "host:port")
	f("level", set("log.level=loud"), "log.level", "debug, info, warn, error")

	f("secret in the file", Sources{File: write(t, "clickhouse:\n  password: hunter2\n")}, "clickhouse.password", "password_file", "AGENTAUDIT_CLICKHOUSE__PASSWORD")
	f("secret on the command line", set("vault.dsn=postgres://u:hunter2@h/d"), "vault.dsn", "--set")
	f("secret given twice", Sources{Env: []string{"AGENTAUDIT_CLICKHOUSE__PASSWORD=hunter2"}, Set: []string{"clickhouse.password_file=/f"}}, "clickhouse.password_file")
	f("a certificate where a name must be", set("deployment="+strings.Repeat("x", 5000)), "…")
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	c, err := Load(Sources{Env: []string{"AGENTAUDIT_CLICKHOUSE__PASSWORD=hunter2"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.ClickHouse.Password.Reveal() != "hunter2" {
		t.Fatal("the environment's password is not there")
	}
	var out bytes.Buffer
	if err := c.Print(&out); err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "config", c, "password", c.ClickHouse.Password)
	fmt.Fprintf(&out, "%v %+v %#v %s %q", c, c, c, c.ClickHouse.Password, c.ClickHouse.Password)
	if strings.Contains(out.String(), "hunter2") {
		t.Errorf("the secret is in %s", out.String())
	}
	if !strings.Contains(out.String(), "password: (withheld)") {
		t.Errorf("nothing says that there is a password in %s", out.String())
	}
}

// What Print writes is a configuration that Load reads to the same effect.
func TestPrintIsAConfiguration(t *testing.T) {
	c, err := Load(Sources{Set: []string{"kafka.brokers=a:1,b:2", "ingest.batch.max_bytes=3MiB", "ingest.memory_limit=1500000000", "http.exporter=:80", "detector.threshold=2.25"}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := c.Print(&out); err != nil {
		t.Fatal(err)
	}
	again, err := Load(Sources{File: write(t, out.String())})
	if err != nil {
		t.Fatalf("%v in\n%s", err, out.String())
	}
	// Relative paths are meant from the file now.
	again.Vault.Path, again.Keys.Source, again.Exporter.AuthorKeyFile, again.Exporter.SigningKeys, again.Detector.AuthorKeyFile = c.Vault.Path, c.Keys.Source, c.Exporter.AuthorKeyFile, c.Exporter.SigningKeys, c.Detector.AuthorKeyFile
	if fmt.Sprint(again) != fmt.Sprint(c) {
		t.Errorf("got  %v\nwant %v", again, c)
	}
}

func TestByteSize(t *testing.T) {
	f := func(text string, want ByteSize, printed string) {
		t.Helper()
		var got ByteSize
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want || got.String() != printed {
			t.Errorf("%s: got %d (%s), %v; want %d (%s)", text, got, got, err, want, printed)
		}
	}
	f("0", 0, "0")
	f("1024", 1024, "1KiB")
	f("1500", 1500, "1500")
	f("16MiB", 16<<20, "16MiB")
	f("1.5GiB", 3<<29, "1536MiB")
	f("2 TiB", 2<<40, "2TiB")
	f("10MB", 10_000_000, "10000000")
	f("7B", 7, "7")
	for _, text := range []string{"", "-1", "x", "1XB", "MiB", "1e30", "NaN", "Inf"} {
		var got ByteSize
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

// One underscore instead of two is a mistake that would otherwise go unnoticed.
func TestEnvironmentWithOneUnderscore(t *testing.T) {
	if _, err := Load(Sources{Env: []string{"AGENTAUDIT_KAFKA_PARTITIONS=3"}}); err == nil || !strings.Contains(err.Error(), "AGENTAUDIT_KAFKA__PARTITIONS") {
		t.Errorf("got %v", err)
	}
	if _, err := Load(Sources{Env: []string{"AGENTAUDIT_INGEST_PORT=tcp://10.0.0.1:80", "AGENTAUDIT_CACHE=/x"}}); err != nil {
		t.Errorf("a container platform's variables: %v", err)
	}
}
