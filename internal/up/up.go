package up

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/agentaudit/agentaudit/internal/broker"
	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/dirlock"
	"github.com/agentaudit/agentaudit/internal/engine"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/process"
)

const (
	// startTimeout is what one child may take until it is ready for the first time. An engine that reads a large
	// store after a crash needs seconds.
	startTimeout = 2 * time.Minute
	// stopTimeout is what all children together may take to end.
	stopTimeout = 9 * time.Second
	// stopShare is kept for each child that is still to be stopped, whatever those before it take.
	stopShare = 500 * time.Millisecond
)

// Run runs everything until ctx ends, and returns nil after a clean end. Progress, and what the children print,
// goes to out. An error is one line, and nothing runs any more.
func Run(ctx context.Context, o Options, out io.Writer) (err error) {
	absolute, err := filepath.Abs(string(o.Data))
	if err != nil {
		return fmt.Errorf("folder %s: %w", o.Data, err)
	}
	o.Data = Folder(absolute)
	if err := o.Data.make(); err != nil {
		return err
	}
	lock, err := dirlock.Take(absolute)
	var held *dirlock.Held
	if errors.As(err, &held) {
		return fmt.Errorf("another 'agentaudit up' works on %s, process %s: stop that one first, or give this one a folder of its own", absolute, held.PID)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if err := o.Data.removeEndpoints(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Data.removeEndpoints()) }()

	cfg, isNew, err := o.Data.settle(ctx, o)
	if err != nil {
		return err
	}
	if err := o.Data.makeSecrets(ctx, cfg); err != nil {
		return err
	}
	u := &up{options: o, cfg: cfg, isNew: isNew, console: &console{out: out}, spawner: newSpawner(), prober: newProber(), pids: make(map[string]int), failed: make(chan error, 1)}
	defer u.spawner.close()
	defer u.stopAll()
	if err := u.startAll(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // told to end while starting
		}
		return err
	}
	u.banner()
	select {
	case <-ctx.Done():
		u.console.printf("stopping …")
		return nil
	case err := <-u.failed:
		return err
	}
}

// up is one run.
type up struct {
	options Options
	cfg     config.Config
	isNew   bool // nothing has run in this folder before
	console *console
	spawner *spawner
	prober  *prober

	children []*child // in the order in which they were started
	logs     []*childLog
	failed   chan error // the first child that cannot work; holds one

	mu        sync.Mutex
	pids      map[string]int
	published bool // endpoints.json is there and is kept up to date
}

// startAll starts the children one after the other, each when the one before is ready.
func (u *up) startAll(ctx context.Context) error {
	kafka, clickhouse, err := u.engines(ctx)
	if err != nil {
		return err
	}
	own, err := u.processes()
	if err != nil {
		return err
	}
	if err := u.checkPorts(ctx); err != nil {
		return err
	}
	for _, p := range []program{kafka, clickhouse} {
		if err := u.begin(ctx, p); err != nil {
			return err
		}
	}
	began := time.Now()
	if err := process.Setup(ctx, u.cfg, kafkaio.Deps{}); err != nil {
		return err
	}
	u.console.printf("topics and tables are ready (%s)", seconds(began))
	for _, p := range own {
		if err := u.begin(ctx, p); err != nil {
			return err
		}
	}
	if u.options.Sample {
		if err := u.begin(ctx, u.sample(kafka.path)); err != nil {
			return err
		}
	}
	return u.publish()
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

// base is the URL of one of our processes.
func (u *up) base(listen string) string {
	scheme := "http://"
	if u.cfg.HTTP.TLS.CertFile != "" {
		scheme = "https://"
	}
	return scheme + dialable(listen)
}

// checkPorts finds addresses that are taken before anything is started. Children of a run that was killed may
// take a moment to go.
func (u *up) checkPorts(ctx context.Context) error {
	const patience = 5 * time.Second
	deadline := time.Now().Add(patience)
	for _, p := range []struct{ what, address, remedy string }{
		{"kafka", u.cfg.Kafka.Brokers[0], "free it, or choose another with --kafka-addr"},
		{"clickhouse", strings.TrimPrefix(u.cfg.ClickHouse.Addresses[0], "http://"), "free it, or choose another with --clickhouse-addr"},
		{"exporter", u.cfg.HTTP.Exporter, "free it, or choose another with --http-addr"},
		{"ingest", u.cfg.HTTP.Ingest, "free it, or choose another with --set http.ingest=HOST:PORT"},
		{"detector", u.cfg.HTTP.Detector, "free it, or choose another with --set http.detector=HOST:PORT"},
	} {
		for {
			err := mustBeFree(ctx, p.what, p.address, p.remedy)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return err
			}
			select {
			case <-time.After(readyEvery):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// begin starts one child and waits until it is ready.
func (u *up) begin(ctx context.Context, p program) error {
	began := time.Now()
	shown := u.console
	if u.options.Quiet {
		shown = nil
	}
	log, err := openChildLog(filepath.Join(u.options.Data.logs(), p.name+".log"), p.name, shown)
	if err != nil {
		return err
	}
	c := &child{
		program: p,
		env:     u.options.Environ,
		spawner: u.spawner,
		log:     log,
		console: u.console,
		onStart: u.noteStart,
		ended:   make(chan struct{}),
		wake:    make(chan struct{}),
	}
	u.logs = append(u.logs, log)
	u.children = append(u.children, c)
	u.console.printf("starting %s …", p.name)
	c.start()
	startCtx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.awaitReady(startCtx); err != nil {
		return err
	}
	u.console.printf("%s is ready (%s)", p.name, seconds(began))
	go u.watch(c) // ends when the child does
	return nil
}

// watch reports a child that cannot work any more.
func (u *up) watch(c *child) {
	<-c.ended
	if c.end == nil {
		return
	}
	select {
	case u.failed <- c.end:
	default: // another one was first
	}
}

// noteStart keeps endpoints.json up to date after restarts.
func (u *up) noteStart(name string, pid int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.pids[name] = pid
	if !u.published {
		return
	}
	if err := u.write(); err != nil {
		u.console.printf("%s", err)
	}
}

// publish says that everything is ready.
func (u *up) publish() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.published = true
	return u.write()
}

// write replaces endpoints.json. The caller holds mu.
func (u *up) write() error {
	password, err := os.ReadFile(string(u.cfg.ClickHouse.PasswordFile))
	if err != nil {
		return fmt.Errorf("read the password for ClickHouse: %w", err)
	}
	keys, err := logkeys.Load(string(u.cfg.Exporter.SigningKeys), u.cfg.Deployment)
	if err != nil {
		return err
	}
	return u.options.Data.writeEndpoints(Endpoints{
		Kafka:              u.cfg.Kafka.Brokers[0],
		ClickHouse:         u.cfg.ClickHouse.Addresses[0],
		ClickHouseUser:     u.cfg.ClickHouse.User,
		ClickHousePassword: strings.TrimRight(string(password), "\r\n"),
		HTTP:               u.base(u.cfg.HTTP.Exporter),
		Topic:              u.cfg.Ingest.Topics.Events,
		VerifierKeys:       keys.VKeys(),
		Pids:               maps.Clone(u.pids),
	})
}

// stopAll ends the children, the last one first, and returns when they are gone.
func (u *up) stopAll() {
	u.mu.Lock()
	u.published = false
	u.mu.Unlock()
	deadline := time.Now().Add(stopTimeout)
	for i, c := range slices.Backward(u.children) {
		c.stop(max(stopShare, time.Until(deadline)-time.Duration(i)*stopShare))
	}
	for _, log := range u.logs {
		if err := log.close(); err != nil {
			u.console.printf("close %s: %s", log.path, err)
		}
	}
}

func seconds(since time.Time) string {
	return strconv.FormatFloat(time.Since(since).Seconds(), 'f', 1, 64) + " s"
}

// banner says what can be done now.
func (u *up) banner() {
	data := string(u.options.Data)
	if here, err := os.Getwd(); err == nil {
		if near, err := filepath.Rel(here, data); err == nil && !strings.HasPrefix(near, "..") {
			data = near
		}
	}
	u.console.printf(`
agentaudit is ready.
  Kafka       %s   topic %s
  ClickHouse  %s   user %s, password in %s
  HTTP        %s
In another terminal:
  agentaudit emit FILE --data %[7]s
  agentaudit query --data %[7]s "SELECT type, count() FROM events GROUP BY type ORDER BY 2 DESC"
  agentaudit verify --data %[7]s
Ctrl-C ends it; the same command goes on where it was.
`, u.cfg.Kafka.Brokers[0], u.cfg.Ingest.Topics.Events, u.cfg.ClickHouse.Addresses[0], u.cfg.ClickHouse.User,
		u.cfg.ClickHouse.PasswordFile, u.base(u.cfg.HTTP.Exporter), data)
}
