package config

import (
	"net/url"
	"regexp"
	"time"
)

// ClickHouse says how to reach the store.
type ClickHouse struct {
	// Addresses of the HTTP interface, http://host:port or https://host:port. More than one are replicas of
	// the same tables and need a cluster; the next is taken when one does not answer.
	Addresses []string `yaml:"addresses"`
	// Database that holds the tables. Letters, digits, underscores.
	Database string `yaml:"database"`
	User     string `yaml:"user"`
	// PasswordFile holds the password; a last line break is not part of it.
	PasswordFile Path `yaml:"password_file"`
	// Password is read from the environment only: AGENTAUDIT_CLICKHOUSE__PASSWORD.
	Password Secret `yaml:"password"`
	// Cluster to create the tables on (ON CLUSTER, replicated engines); it must have one shard. Empty: one server.
	Cluster string `yaml:"cluster"`
	// ReplicatedPath is where replicated tables keep their state in Keeper; database and table are appended.
	// Used with cluster only.
	ReplicatedPath string        `yaml:"replicated_path"`
	TLS            ClickHouseTLS `yaml:"tls"`
	// MaxExecution is how long the server may work on one insert; a log stands still for twice this time
	// when the server lost an insert half-way. 1s to 5m.
	MaxExecution time.Duration `yaml:"max_execution"`
	// InsertTimeout ends the wait for an insert; its outcome is then unknown and read back.
	// clickhouse.max_execution to 10m.
	InsertTimeout time.Duration `yaml:"insert_timeout"`
	// QueryTimeout is the longest that a query of the command line, or the exporter's reading of a log, may run. 1s to 24h.
	QueryTimeout time.Duration `yaml:"query_timeout"`
}

// ClickHouseTLS is for addresses that begin with https.
type ClickHouseTLS struct {
	// CAFile holds the authorities to trust, PEM. Empty: the system's.
	CAFile Path `yaml:"ca_file"`
	// CertFile and KeyFile are our own certificate, PEM, for servers that ask for one. Both or neither.
	CertFile Path `yaml:"cert_file"`
	KeyFile  Path `yaml:"key_file"`
}

func defaultClickHouse() ClickHouse {
	return ClickHouse{
		Addresses:      []string{"http://127.0.0.1:8123"},
		Database:       "audit",
		User:           "default",
		ReplicatedPath: "/clickhouse/tables/{shard}",
		MaxExecution:   10 * time.Second,
		InsertTimeout:  30 * time.Second,
		QueryTimeout:   10 * time.Minute,
	}
}

// identifier is what we put into SQL as a name without quoting.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// keeperPath may hold ClickHouse's macros and nothing that ends an SQL string.
var keeperPath = regexp.MustCompile(`^(/[A-Za-z0-9_.{}-]+)+$`)

func (c *ClickHouse) validate() error {
	if len(c.Addresses) == 0 {
		return wrong("clickhouse.addresses", "", "at least one http://host:port")
	}
	for _, address := range c.Addresses {
		u, err := url.Parse(address)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || !isHostPort(u.Host) || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.User != nil {
			// The address is not repeated: somebody may have written a password into it.
			return wrong("clickhouse.addresses", "the address", "http://host:port or https://host:port, without user, path and parameters")
		}
	}
	if !identifier.MatchString(c.Database) {
		return wrong("clickhouse.database", c.Database, "a name of letters, digits and underscores")
	}
	if c.User == "" {
		return wrong("clickhouse.user", "", "a name")
	}
	if c.Cluster != "" && !identifier.MatchString(c.Cluster) {
		return wrong("clickhouse.cluster", c.Cluster, "a name of letters, digits and underscores")
	}
	if len(c.Addresses) > 1 && c.Cluster == "" {
		return wrong("clickhouse.cluster", "", "the replicas' cluster, because clickhouse.addresses has more than one")
	}
	if c.Cluster != "" && !keeperPath.MatchString(c.ReplicatedPath) {
		return wrong("clickhouse.replicated_path", c.ReplicatedPath, "an absolute path of letters, digits and macros in braces")
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		return wrong("clickhouse.tls.cert_file", string(c.TLS.CertFile), "set together with clickhouse.tls.key_file, or neither")
	}
	return first(
		func() error { return notBoth("clickhouse.password", c.Password, c.PasswordFile) },
		func() error { return within("clickhouse.max_execution", c.MaxExecution, time.Second, 5*time.Minute) },
		func() error {
			return within("clickhouse.insert_timeout", c.InsertTimeout, c.MaxExecution, 10*time.Minute)
		},
		func() error { return within("clickhouse.query_timeout", c.QueryTimeout, time.Second, 24*time.Hour) },
	)
}
