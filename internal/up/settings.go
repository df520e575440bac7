package up

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/durable"
)

// Options are what `agentaudit up` was told. Empty ones leave what the folder's configuration says.
type Options struct {
	Data           Folder
	KafkaAddr      string // host:port
	ClickHouseAddr string
	HTTPAddr       string
	SlackAPIURL    string
	SlackTokenFile string // path as the user gave it
	SlackChannel   string
	Partitions     int      // 0: as it is, 4 in a new folder
	Sample         bool     // stream sample traffic
	Quiet          bool     // children's lines go to their files only
	Set            []string // key=value; kept in the folder's configuration
	Environ        []string // as os.Environ returns it
}

const newConfigHeading = `# The configuration of this 'agentaudit up' folder. It is yours to change while up is stopped; what you give up
# on its command line is kept here too. 'agentaudit config --data .' prints all keys and their values.

`

// settle writes what is missing in the folder's configuration, and what the options change, and returns it,
// and whether the folder is new. Addresses are chosen once and stay.
func (f Folder) settle(ctx context.Context, o Options) (_ config.Config, isNew bool, err error) {
	// Errors in the file, the environment and --set are found before anything is written.
	file := f.config()
	_, err = os.Stat(file)
	isNew = errors.Is(err, fs.ErrNotExist)
	sources := config.Sources{File: file, Env: o.Environ, Set: o.Set}
	if isNew {
		sources.File = ""
	}
	if _, err := config.Load(sources); err != nil {
		return config.Config{}, false, err
	}

	values, err := f.missing(ctx)
	if err != nil {
		return config.Config{}, false, err
	}
	if err := o.override(values); err != nil {
		return config.Config{}, false, err
	}
	text, err := config.Edit(file, values)
	if err != nil {
		return config.Config{}, false, err
	}
	if isNew {
		text = slices.Concat([]byte(newConfigHeading), text)
	}
	// The file is replaced only by one that up can work with.
	candidate := file + ".new"
	if err := durable.Replace(candidate, text); err != nil {
		return config.Config{}, false, fmt.Errorf("write the configuration: %w", err)
	}
	c, err := config.Load(config.Sources{File: candidate, Env: o.Environ})
	if err == nil {
		err = fitsEmbedded(c)
	}
	if err != nil {
		return config.Config{}, false, errors.Join(err, os.Remove(candidate))
	}
	if err := os.Rename(candidate, file); err != nil {
		return config.Config{}, false, fmt.Errorf("write the configuration: %w", err)
	}
	return c, isNew, durable.Sync(string(f))
}

// fitsEmbedded refuses what the embedded engines cannot do.
func fitsEmbedded(c config.Config) error {
	switch {
	case len(c.Kafka.Brokers) != 1:
		return errors.New("kafka.brokers: must be one address: up runs one broker")
	case c.Kafka.TLS.Enabled || c.Kafka.SASL.Mechanism != "":
		return errors.New("kafka.tls and kafka.sasl: must be off: the embedded broker listens on loopback, without TLS and login")
	case !onLoopback(c.Kafka.Brokers[0]):
		return fmt.Errorf("kafka.brokers (--kafka-addr): %s is not a loopback address: the embedded broker has neither TLS nor login", c.Kafka.Brokers[0])
	case len(c.ClickHouse.Addresses) != 1 || c.ClickHouse.Cluster != "":
		return errors.New("clickhouse.addresses: must be one address, and clickhouse.cluster empty: up runs one engine")
	case !strings.HasPrefix(c.ClickHouse.Addresses[0], "http://"):
		return errors.New("clickhouse.addresses: must begin with http://: the embedded engine does not speak TLS")
	case !onLoopback(strings.TrimPrefix(c.ClickHouse.Addresses[0], "http://")):
		return fmt.Errorf("clickhouse.addresses (--clickhouse-addr): %s is not on loopback: the embedded engine does not encrypt", c.ClickHouse.Addresses[0])
	case c.ClickHouse.PasswordFile == "":
		return errors.New("clickhouse.password_file: must be set: the embedded engine reads it")
	}
	return nil
}

// missing returns the values of this folder's own that its configuration does not have yet.
func (f Folder) missing(ctx context.Context) (map[string]string, error) {
	present, err := config.KeysIn(f.config())
	if err != nil {
		return nil, err
	}
	addresses, err := freeAddresses(ctx, 5)
	if err != nil {
		return nil, err
	}
	values := map[string]string{
		"deployment":               "local",
		"kafka.brokers":            addresses[0],
		"kafka.replication_factor": "1",
		"clickhouse.addresses":     "http://" + addresses[1],
		"clickhouse.user":          "agentaudit",
		"clickhouse.password_file": f.relative(f.password()),
		"vault.path":               "vault.db",
		"keys.source":              "file:" + f.relative(f.keyring()),
		"exporter.author_key_file": f.relative(f.authorKey()),
		"detector.author_key_file": f.relative(f.detectorKey()),
		"exporter.signing_keys":    f.relative(f.signingKeys()),
		"exporter.export_dir":      f.relative(f.exports()),
		"exporter.public_tiles":    "true", // on loopback
		"keys.rotate_every":        "720h",
		"http.exporter":            addresses[2],
		"http.ingest":              addresses[3],
		"http.detector":            addresses[4],
		"log.format":               "text",
	}
	for _, key := range present {
		delete(values, key)
	}
	return values, nil
}

// relative makes a path of the folder independent of where the folder is.
func (f Folder) relative(path string) string {
	inside, err := filepath.Rel(string(f), path)
	if err != nil {
		return path
	}
	return inside
}

// override adds what the options say.
func (o Options) override(values map[string]string) error {
	for _, pair := range o.Set {
		key, value, _ := strings.Cut(pair, "=") // Load has checked them
		if config.IsPath(key) && value != "" {
			// Given from where the user stands, kept in a file that lies elsewhere.
			absolute, err := filepath.Abs(value)
			if err != nil {
				return fmt.Errorf("--set %s: %w", key, err)
			}
			value = absolute
		}
		values[key] = value
	}
	token := o.SlackTokenFile
	if token != "" {
		absolute, err := filepath.Abs(token)
		if err != nil {
			return fmt.Errorf("--slack-token-file: %w", err)
		}
		token = absolute
	}
	for key, value := range map[string]string{
		"kafka.brokers": o.KafkaAddr, "http.exporter": o.HTTPAddr,
		"detector.slack.api_url": o.SlackAPIURL, "detector.slack.token_file": token, "detector.slack.channel": o.SlackChannel,
	} {
		if value != "" {
			values[key] = value
		}
	}
	if o.ClickHouseAddr != "" {
		values["clickhouse.addresses"] = "http://" + o.ClickHouseAddr
	}
	if o.Partitions != 0 {
		values["kafka.partitions"] = strconv.Itoa(o.Partitions)
	}
	return nil
}

// onLoopback says whether nobody outside this machine reaches an address, host:port.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(strings.TrimSuffix(address, "/"))
	if err != nil {
		return true // refused elsewhere, for what it is
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
