package up

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/agentaudit/agentaudit/internal/broker"
	"github.com/agentaudit/agentaudit/internal/engine"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/process"
)

// program is one of the programs that up runs.
type program struct {
	name  string // as in endpoints.json
	path  string
	args  []string
	first []string                        // further arguments of the first start
	stdin any                             // the configuration of an engine, see package child; nil: it reads none
	ready func(ctx context.Context) error // nil as soon as it does its work
}

// engines describes the two engines, and fetches ClickHouse's library if it is not there yet.
func (u *up) engines(ctx context.Context) (kafka, clickhouse program, err error) {
	self, err := os.Executable()
	if err != nil {
		return program{}, program{}, fmt.Errorf("find our own program: %w", err)
	}
	library, err := engine.Fetch(ctx, "", u.console)
	if err != nil {
		return program{}, program{}, err
	}
	kafka = program{
		name: "kafka",
		path: self,
		args: []string{"broker-child"},
		stdin: broker.Config{
			Dir:        u.options.Data.kafka(),
			Listen:     u.cfg.Kafka.Brokers[0],
			Partitions: u.cfg.Kafka.Partitions,
		},
		ready: func(ctx context.Context) error {
			client, err := process.OpenKafka(u.cfg, kafkaio.Deps{})
			if err != nil {
				return err
			}
			defer client.Close()
			return client.Ping(ctx)
		},
	}
	address := u.cfg.ClickHouse.Addresses[0]
	clickhouse = program{
		name: "clickhouse",
		path: self,
		args: []string{"engine-child"},
		stdin: engine.Config{
			Library:        library,
			Dir:            u.options.Data.clickhouse(),
			Listen:         strings.TrimPrefix(address, "http://"),
			User:           u.cfg.ClickHouse.User,
			PasswordFile:   string(u.cfg.ClickHouse.PasswordFile),
			MaxMemoryBytes: int64(u.cfg.Embedded.ClickHouseMemory),
		},
		ready: func(ctx context.Context) error { return u.prober.get(ctx, address+"/ping", nil) },
	}
	return kafka, clickhouse, nil
}

// processes describes our three processes, whose programs lie beside this one.
func (u *up) processes() ([]program, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find our own program: %w", err)
	}
	var programs []program
	for _, p := range []struct{ name, listen string }{
		{"ingest", u.cfg.HTTP.Ingest},
		{"detector", u.cfg.HTTP.Detector},
		{"exporter", u.cfg.HTTP.Exporter},
	} {
		path := filepath.Join(filepath.Dir(self), p.name)
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("%s is missing beside %s: run make build", p.name, self)
		}
		base := u.base(p.listen)
		programs = append(programs, program{
			name:  p.name,
			path:  path,
			args:  []string{"--config", u.options.Data.config()},
			ready: func(ctx context.Context) error { return u.prober.process(ctx, base) },
		})
	}
	return programs, nil
}

// sample describes the child that streams sample traffic.
func (u *up) sample(self string) program {
	p := program{
		name:  "sample",
		path:  self,
		args:  []string{"sample-child", "--config", u.options.Data.config()},
		ready: func(context.Context) error { return nil },
	}
	if u.isNew {
		p.first = []string{"--history", sampleHistory.String()}
	}
	return p
}

// base is the URL of one of our processes.
func (u *up) base(listen string) string {
	scheme := "http://"
	if u.cfg.HTTP.TLS.CertFile != "" {
		scheme = "https://"
	}
	return scheme + dialable(listen)
}
