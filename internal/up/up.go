package up

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/dirlock"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
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
	keys := time.NewTicker(keysEvery)
	defer keys.Stop()
	for {
		select {
		case <-ctx.Done():
			u.console.printf("stopping …")
			return nil
		case err := <-u.failed:
			return err
		case <-keys.C:
			u.followKeys()
		}
	}
}

// keysEvery is how often endpoints.json is compared with the keys of checkpoints, which 'keys rotate' changes in their folder.
const keysEvery = time.Second

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
	published bool     // endpoints.json is there and is kept up to date
	vkeys     []string // that stand in it
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
	if err := u.options.Data.makeAdminKey(ctx, u.cfg); err != nil {
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
