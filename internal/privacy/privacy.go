// Package privacy carries out what people ask about their data. Requests stand in the vault, survive crashes there, and are worked at by whichever exporter
// takes them; each step of one is an entry in the log, which names the request and the pseudonym and never the person.
package privacy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/prove"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/systemlog"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Config is what a Worker is told. DefaultConfig has the defaults.
type Config struct {
	// EventsTopic is where records of people may still lie unread.
	EventsTopic string
	// RequestsTopic is where requests come from that name people; empty: there is none.
	RequestsTopic string
	// SystemTopic is where steps are said.
	SystemTopic string
	// Lease is how long caches may use a subject after it was destroyed: a receipt waits that long.
	Lease time.Duration
	// SpoolMaxAge is how long producers may keep events before they send them.
	SpoolMaxAge time.Duration
	// RejectedKeepDays is how long records that could not be accepted can be read.
	RejectedKeepDays int
	// ExportDir is where archives of people's data are written, encrypted; empty: requests for them are refused.
	ExportDir string
	// ExportKeep is how long an archive can be fetched.
	ExportKeep time.Duration
	// BackupsDie is how long after its making a backup of the vault still opens: the time in which generations of keys are replaced. 0: nobody knows.
	BackupsDie time.Duration
}

// DefaultConfig has the defaults of the components that it speaks of.
func DefaultConfig() Config {
	return Config{
		EventsTopic: "agent.events", SystemTopic: "audit.system", Lease: time.Second, SpoolMaxAge: 7 * 24 * time.Hour, RejectedKeepDays: 30,
		ExportKeep: 7 * 24 * time.Hour, BackupsDie: 30 * 24 * time.Hour,
	}
}

// Deps are the systems that a Worker works with. It closes none of them.
type Deps struct {
	Kafka  *kafkaio.Client
	Store  *store.Store
	Vault  *vault.Vault
	Author *author.Author                  // registered in the vault
	Keys   func() (*logkeys.Folder, error) // that checkpoints are signed with
	Log    *slog.Logger
}

// Worker carries out requests. It is safe for concurrent use, and several of them do each other no harm.
type Worker struct {
	cfg     Config
	deps    Deps
	speaker *systemlog.Speaker

	unreadable prometheus.Gauge // see erasures

	claimFor, countWithin, countAgain time.Duration
	exportAgain, sweepEvery           time.Duration
	roundUntil                        time.Duration // see suppression
	consentPage                       int
	passed                            func(step string) // for tests: what a request has just passed
}

// New returns a Worker.
func New(cfg Config, deps Deps) *Worker {
	return &Worker{
		cfg: cfg, deps: deps, claimFor: claimFor, roundUntil: time.Minute, countWithin: countWithin, countAgain: countAgain, exportAgain: exportAgain, sweepEvery: sweepEvery,
		consentPage: consentPage, passed: func(string) {},
		unreadable: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "agentaudit_gdpr_unreadable_erasures", Help: "Signed entries about erasures that do not say who was erased, when the vault was last compared with the log.",
		}),
		speaker: systemlog.New(systemlog.Deps{Kafka: deps.Kafka, Store: deps.Store, Vault: deps.Vault, Author: deps.Author, Topic: cfg.SystemTopic}),
	}
}

// Register registers what the Worker measures.
func (w *Worker) Register(registry prometheus.Registerer) error {
	return registry.Register(w.unreadable)
}

const (
	// pollEvery is how often the vault is asked for requests.
	pollEvery = 250 * time.Millisecond
	// claimFor is how long a request that somebody was at work on is left alone after the last sign of life.
	claimFor = 30 * time.Second
	// retryAfter is how long a request waits whose step failed.
	retryAfter = 2 * time.Second
)

// Run carries out requests until ctx ends.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.register(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return w.speak(ctx) }) // ends with ctx
	group.Go(func() error { return w.serve(ctx) }) // ends with ctx
	// Apart: an export may take minutes, and nobody who wants to be erased waits for it.
	group.Go(func() error { return w.serveExports(ctx) }) // ends with ctx
	group.Go(func() error { return w.keepExports(ctx) })  // ends with ctx
	group.Go(func() error { return w.sweep(ctx) })        // ends with ctx
	return group.Wait()
}

// serve works at all requests but exports until ctx ends.
func (w *Worker) serve(ctx context.Context) error {
	return w.repeat(ctx, func(ctx context.Context) error {
		return errors.Join(w.round(ctx, func(kind gdpr.RequestKind) bool { return kind != gdpr.RequestExport }), w.completeReceipts(ctx))
	})
}

// serveExports works at exports until ctx ends.
func (w *Worker) serveExports(ctx context.Context) error {
	return w.repeat(ctx, func(ctx context.Context) error {
		return w.round(ctx, func(kind gdpr.RequestKind) bool { return kind == gdpr.RequestExport })
	})
}

// repeat works at requests, a round now and then, until ctx ends.
func (w *Worker) repeat(ctx context.Context, round func(context.Context) error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if err := round(ctx); err != nil && ctx.Err() == nil {
			w.deps.Log.Warn("requests cannot be read, trying again", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// register tells the vault the author's key, as soon as the vault answers: what an unknown author says is sealed as rejected.
func (w *Worker) register(ctx context.Context) error {
	for {
		err := w.deps.Author.Register(ctx, w.deps.Vault)
		if err == nil || errors.Is(err, vault.ErrExists) {
			return err
		}
		w.deps.Log.Warn("the author's key cannot be registered, trying again", "error", err)
		if sleepUntil(ctx, time.Now().Add(retryAfter)) != nil {
			return nil
		}
	}
}

// round works at everything of some kinds that is to be done now, one request after the other.
func (w *Worker) round(ctx context.Context, ours func(gdpr.RequestKind) bool) error {
	list, err := w.deps.Vault.OpenRequests(ctx, time.Now())
	if err != nil {
		return err
	}
	for _, request := range list {
		if !ours(request.Kind) {
			continue
		}
		now := time.Now()
		taken, err := w.deps.Vault.ClaimRequest(ctx, request.ID, now, now.Add(w.claimFor))
		if err != nil {
			return err
		}
		if taken {
			w.passed(stepTaken)
			w.work(ctx, request)
		}
	}
	return nil
}

// work carries a request on as far as it goes. What fails is tried again.
func (w *Worker) work(ctx context.Context, request vault.Request) {
	stop := w.keepClaim(ctx, request.ID)
	err := w.carryOut(ctx, &request)
	stop()
	if err == nil || ctx.Err() != nil || errors.Is(err, errOvertaken) {
		return
	}
	var refused *refusal
	if errors.As(err, &refused) {
		err = w.end(ctx, &request, vault.Ending{State: gdpr.StateRefused, Reason: refused.reason})
	}
	if err == nil {
		return
	}
	w.deps.Log.Warn("a request is interrupted, trying again", "request", gdpr.SubjectID(request.ID), "kind", request.Kind, "error", err)
	now, pause := time.Now(), retryAfter
	if request.Kind == gdpr.RequestExport {
		pause = w.exportAgain
	}
	if _, err := w.deps.Vault.DeferRequest(ctx, request.ID, "interrupted, tried again: "+plain(err), now.Add(pause), now); err != nil && ctx.Err() == nil {
		w.deps.Log.Warn("a request cannot be put off", "request", gdpr.SubjectID(request.ID), "error", err)
	}
}

// plain is what a request says of an error: which system, and no more.
func plain(err error) string {
	switch {
	case errors.Is(err, vault.ErrUnavailable):
		return "the vault does not answer"
	case errors.Is(err, vault.ErrForged):
		return "a row of the vault was written by somebody else: run agentaudit vault check"
	case errors.Is(err, vault.ErrOutdated):
		return "it took too long, or a legal hold was ordered meanwhile"
	case errors.Is(err, systemlog.ErrNotSealed):
		return "its record was not sealed in time"
	case errors.Is(err, prove.ErrNotCovered):
		return "no checkpoint covers the person's latest events"
	case errors.Is(err, syscall.ENOSPC):
		return "the disk is full"
	}
	var fault *chain.Fault
	if errors.As(err, &fault) {
		return "an entry or a tile of the person's log is not what was signed: run agentaudit verify"
	}
	return "see the exporter's log"
}

// keepClaim extends the claim until stop is called.
func (w *Worker) keepClaim(ctx context.Context, id [16]byte) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		tick := time.NewTicker(w.claimFor / 3)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = w.deps.Vault.KeepRequest(ctx, id, time.Now().Add(w.claimFor)) // the next one may get through
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// Steps of a request, in order. Whatever ends the process behind any of them, the next one goes on.
const (
	stepTaken     = "taken"
	stepBegun     = "begun: the log says so"
	stepHeld      = "no hold forbids it"
	stepPrepared  = "it is known which records are nobody's"
	stepDestroyed = "destroyed"
	stepForgotten = "caches have forgotten"
	stepSaid      = "destruction stands in the log"
	stepReceipt   = "receipt signed"
	stepOthers    = "other requests ended"
	stepEndSaid   = "the log says that it has ended"
	stepEnded     = "ended"

	// Of exports, behind stepBegun and before stepEnded.
	stepAttempt = "attempt stored"
	stepPart    = "a part is written"
	stepWritten = "file written"
	stepNamed   = "file has its name"
)

// refusal is the end of a request that is not carried out.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

func (w *Worker) carryOut(ctx context.Context, request *vault.Request) error {
	if err := w.awaitNoted(ctx); err != nil {
		return err
	}
	switch request.Kind {
	case gdpr.RequestErasure:
		return w.erase(ctx, request)
	case gdpr.RequestExport:
		return w.export(ctx, request)
	case gdpr.RequestRestriction:
		return w.restrict(ctx, request)
	default:
		return &refusal{"requests of this kind are not carried out yet"}
	}
}

// end says in the log how a request has ended, and then ends it.
func (w *Worker) end(ctx context.Context, request *vault.Request, how vault.Ending) error {
	if err := w.say(ctx, request, how.State, how.Reason); err != nil {
		return err
	}
	w.passed(stepEndSaid)
	_, err := w.deps.Vault.EndRequest(ctx, request.ID, how, time.Now())
	w.passed(stepEnded)
	return err
}

// typeRequest is the type of the entries that say how far a request is.
const typeRequest = "gdpr.request"

// say has a step of a request stand in the log. The same step has the same event id, however often it is said.
func (w *Worker) say(ctx context.Context, request *vault.Request, state gdpr.RequestState, reason string) error {
	_, err := w.speaker.Say(ctx, stepOf(request, state, reason).record(stepID(request.ID, string(state)), time.Now()))
	return err
}

func outcomeOf(state gdpr.RequestState) events.Outcome {
	switch state {
	case gdpr.StateRefused:
		return events.Denied
	case gdpr.StateCompleted:
		return events.Success
	}
	return events.Pending
}

// options are what a request says beside its kind.
type options struct {
	// SuppressForever: nothing of the person is ever to be kept again.
	SuppressForever bool `json:"suppress_forever,omitempty"`
	// Recipient is the public key of age that an export is encrypted for; empty: one of ours.
	Recipient string `json:"recipient,omitempty"`
}

func optionsOf(request *vault.Request) (o options, err error) {
	if err := json.Unmarshal([]byte(request.Options), &o); err != nil {
		return options{}, fmt.Errorf("options of a request: %w", err)
	}
	return o, nil
}
