package store

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"
)

// Config says how to reach ClickHouse. DefaultConfig suits a server on this machine.
type Config struct {
	// Addresses of the HTTP interface, http://host:port or https://host:port. More than
	// one are replicas of the same tables and need Cluster; the next is taken when one
	// does not answer.
	Addresses []string
	// Database that holds the tables; Migrate creates it. Letters, digits, underscores.
	Database string
	User     string
	Password string
	TLS      TLS
	// Cluster creates the tables ON CLUSTER with replicated engines. It must have one
	// shard. Empty: one server, plain MergeTree.
	Cluster string
	// ReplicatedPath is where replicated tables keep their state in Keeper; database and
	// table are appended. Used with Cluster only.
	ReplicatedPath string
	// MaxExecution is how long the server may work on one insert; 1s to 5m. A token
	// can be held to be burned after twice this time.
	MaxExecution time.Duration
	// InsertTimeout ends the wait for an insert; its outcome is then unknown.
	// MaxExecution to 10m.
	InsertTimeout time.Duration
	// QueryTimeout is the longest that Query, Scan and ScanDeep may take; 1s to 24h.
	QueryTimeout time.Duration
}

// TLS is for addresses that begin with https.
type TLS struct {
	CAFile            string // authorities to trust, PEM; empty: the system's
	CertFile, KeyFile string // our own certificate, PEM; both or neither
}

// DefaultConfig returns the defaults that Config names.
func DefaultConfig() Config {
	return Config{
		Addresses:      []string{"http://127.0.0.1:8123"},
		Database:       "audit",
		User:           "default",
		ReplicatedPath: "/clickhouse/tables/{shard}",
		MaxExecution:   10 * time.Second,
		InsertTimeout:  30 * time.Second,
		QueryTimeout:   10 * time.Minute,
	}
}

// identifier is what may stand in SQL as a name without quoting.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// keeperPath may hold ClickHouse's macros and nothing that ends an SQL string.
var keeperPath = regexp.MustCompile(`^(/[A-Za-z0-9_.{}-]+)+$`)

// Validate names the first field that is out of range. Addresses are not repeated in
// errors: somebody may have written a password into one.
func (c Config) Validate() error {
	if len(c.Addresses) == 0 {
		return errors.New("clickhouse addresses: at least one http://host:port is needed")
	}
	for _, address := range c.Addresses {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Path != "" && u.Path != "/" {
			return errors.New("clickhouse addresses: must be http://host:port or https://host:port, without user, path and parameters")
		}
	}
	if len(c.Addresses) > 1 && c.Cluster == "" {
		return errors.New("clickhouse addresses: more than one are replicas and need a cluster; without one each server would hold logs of its own")
	}
	if !identifier.MatchString(c.Database) {
		return fmt.Errorf("clickhouse database %q: must be a name of letters, digits and underscores", c.Database)
	}
	if c.User == "" {
		return errors.New("clickhouse user: must not be empty")
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		return errors.New("clickhouse tls: certificate and key go together")
	}
	if c.Cluster != "" && !identifier.MatchString(c.Cluster) {
		return fmt.Errorf("clickhouse cluster %q: must be a name of letters, digits and underscores", c.Cluster)
	}
	if c.Cluster != "" && !keeperPath.MatchString(c.ReplicatedPath) {
		return fmt.Errorf("clickhouse replicated path %q: must be an absolute path of letters, digits and macros in braces", c.ReplicatedPath)
	}
	if c.MaxExecution < time.Second || c.MaxExecution > 5*time.Minute {
		return fmt.Errorf("clickhouse max execution %s: must be 1s to 5m", c.MaxExecution)
	}
	if c.InsertTimeout < c.MaxExecution || c.InsertTimeout > 10*time.Minute {
		return fmt.Errorf("clickhouse insert timeout %s: must be max execution (%s) to 10m", c.InsertTimeout, c.MaxExecution)
	}
	if c.QueryTimeout < time.Second || c.QueryTimeout > 24*time.Hour {
		return fmt.Errorf("clickhouse query timeout %s: must be 1s to 24h", c.QueryTimeout)
	}
	return nil
}
