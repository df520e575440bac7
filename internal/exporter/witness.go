package exporter

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/internal/witness"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

const (
	// roundWithin bounds showing one checkpoint to all witnesses, and so how long one that is away delays the first new checkpoint after a start.
	roundWithin = 15 * time.Second
	// showAgain is how often witnesses sign a checkpoint that does not move: the time in a cosignature tells how fresh it is.
	showAgain = 15 * time.Minute
	// proofAttempts bounds how often a witness is told another size than it has, while another exporter shows it newer checkpoints.
	proofAttempts = 3
)

// Label of what asking a witness came to.
const (
	witnessCosigned     = "cosigned"
	witnessUnreachable  = "unreachable"
	witnessRefused      = "refused"      // the key, the log, or any log at the moment
	witnessInvalid      = "invalid"      // an answer that no witness may give
	witnessContradicted = "contradicted" // it has signed more of the log, or another history of it
)

// witnesses are asked to sign checkpoints too.
type witnesses struct {
	list  []*oneWitness
	asked *prometheus.CounterVec
	ages  *witnessAges
}

type oneWitness struct {
	*witness.Client
	turn chan struct{} // holds the token of whoever asks: one request at a time
}

func newWitnesses(cfg *Config, registry prometheus.Registerer) (*witnesses, error) {
	w := &witnesses{
		asked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agentaudit_exporter_witness_total", Help: "Checkpoints that were shown to witnesses, by what came of it.",
		}, []string{"result"}),
		ages: &witnessAges{
			age:    prometheus.NewDesc("agentaudit_exporter_witness_age_seconds", "Time since the witness last signed a checkpoint of the log.", []string{"log", "witness"}, nil),
			signed: map[[2]string]time.Time{},
		},
	}
	for _, result := range []string{witnessCosigned, witnessUnreachable, witnessRefused, witnessInvalid, witnessContradicted} {
		w.asked.WithLabelValues(result) // there from the start, so that rates are right
	}
	for _, text := range cfg.Witnesses {
		client, err := witness.Parse(text)
		if err != nil {
			return nil, err
		}
		w.list = append(w.list, &oneWitness{Client: client, turn: make(chan struct{}, 1)})
	}
	for _, c := range []prometheus.Collector{w.asked, w.ages} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *witnesses) close() {
	for _, one := range w.list {
		one.Close()
	}
}

// witnessed shows one log's checkpoint to the witnesses. It belongs to one goroutine, beside that of the follower, which it never holds up but once: before
// the first new checkpoint after a start the witnesses are asked, because a vault and a ClickHouse that were restored together agree with each other.
type witnessed struct {
	exporter *Exporter
	log      string
	asked    chan struct{} // closed once the follower may sign
	released bool          // asked is closed
	answered []bool        // which witnesses have signed since the start
	failing  []bool        // which have failed since they last signed
}

func (e *Exporter) newWitnessed(log string) *witnessed {
	w := &witnessed{
		exporter: e, log: log, asked: make(chan struct{}), answered: make([]bool, len(e.witnesses.list)), failing: make([]bool, len(e.witnesses.list)),
	}
	for _, one := range e.witnesses.list {
		e.witnesses.ages.note(log, one.Name(), time.Now())
	}
	return w
}

// await waits until new checkpoints of the log may be signed, or ctx ends.
func (w *witnessed) await(ctx context.Context) error {
	select {
	case <-w.asked:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *witnessed) release() {
	if !w.released {
		w.released = true
		close(w.asked)
	}
}

// run shows checkpoints until ctx ends or witnesses have contradicted the log faultLooks times: at once when the log moves after a pause, else every
// RepublishEvery. What lies between two of them needs no cosignature of its own, because the later one continues it.
func (w *witnessed) run(ctx context.Context) error {
	e := w.exporter
	if len(e.witnesses.list) == 0 {
		w.release()
		return nil
	}
	faults := 0
	wait := newBackoff()
	for {
		shown, all, err := w.round(ctx)
		pause := e.cfg.RepublishEvery
		var bad *chain.Fault
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &bad):
			// Another exporter may have shown it a later checkpoint than the one that was read here: ask again, from the vault on.
			if faults++; faults >= faultLooks {
				return bad
			}
			pause = e.cfg.PollEvery
		case err != nil:
			e.failing("a checkpoint cannot be shown to witnesses, trying again", err, "log", w.log)
			pause = wait.NextBackOff()
		default:
			faults = 0
			switch {
			case !w.released:
				pause = wait.NextBackOff()
			case all && shown.At.IsZero():
				pause = 0 // the first checkpoint is yet to come
			default:
				wait.Reset()
			}
		}
		if sleep(ctx, pause) != nil {
			return nil
		}
		if all {
			w.idle(ctx, shown)
		}
	}
}

// idle waits until the log's checkpoint is another one, or is to be shown again.
func (w *witnessed) idle(ctx context.Context, shown vault.Checkpoint) {
	again := time.NewTimer(showAgain)
	defer again.Stop()
	for {
		moved := w.exporter.published.moved.after()
		if latest, ok := w.exporter.published.of(w.log); ok && latest.Note != shown.Note {
			return
		}
		select {
		case <-moved:
		case <-again.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// round shows the log's checkpoint to all witnesses that have not signed it lately, and says whether all have now. An error is a *chain.Fault if a witness
// contradicts the log, else one of ClickHouse or the vault. That a witness does not sign is no error: it is logged and counted.
func (w *witnessed) round(ctx context.Context) (shown vault.Checkpoint, all bool, err error) {
	e := w.exporter
	point, found, err := w.point(ctx)
	if err != nil {
		return point, false, err
	}
	if !found {
		// Nothing can be signed either, as long as the log's first entry is not there, or is bad.
		if !e.cfg.WitnessRequired {
			w.release()
		}
		return point, false, nil
	}
	kept, err := e.deps.Vault.Cosigned(ctx, w.log)
	if err != nil {
		return point, false, err
	}
	last := make(map[string]vault.Cosigned, len(kept))
	for _, k := range kept {
		last[k.Witness] = k
	}
	within, cancel := context.WithTimeout(ctx, roundWithin)
	defer cancel()
	errs := make([]error, len(e.witnesses.list))
	var group sync.WaitGroup
	for i, one := range e.witnesses.list {
		before := last[one.Key()]
		// What the vault says of the past is not believed after a start: it may have been restored.
		if w.answered[i] && strings.HasPrefix(before.Note, point.Note) && time.Since(before.At) < showAgain {
			e.witnesses.ages.note(w.log, one.Name(), before.At) // perhaps another exporter has asked
			continue
		}
		if !w.answered[i] && !before.At.IsZero() {
			e.witnesses.ages.note(w.log, one.Name(), before.At) // starting again and again does not make it younger
		}
		group.Go(func() { errs[i] = w.show(within, one, point, before.Size) }) // ends with within
	}
	group.Wait()
	if ctx.Err() != nil {
		return point, false, context.Cause(ctx)
	}
	all, err = w.settle(errs), trouble(errs)
	var bad *chain.Fault
	if all || !errors.As(err, &bad) && !e.cfg.WitnessRequired {
		w.release()
	}
	return point, all, err
}

// settle notes who has signed, and says whether all have.
func (w *witnessed) settle(errs []error) (all bool) {
	e := w.exporter
	all = true
	for i, err := range errs {
		name := e.witnesses.list[i].Name()
		var own *ownError
		switch {
		case err == nil && w.failing[i]:
			w.failing[i] = false
			e.log.Info("a witness signs again", "log", w.log, "witness", name)
		case err != nil && !w.failing[i] && !errors.As(err, &own):
			w.failing[i] = true
			e.log.Warn("a witness does not sign the checkpoint, asking again", "log", w.log, "witness", name, "error", err)
		}
		all = all && err == nil
		w.answered[i] = w.answered[i] || err == nil
	}
	return all
}

// trouble returns the first contradiction, else the first error that is not the witness's.
func trouble(errs []error) error {
	var ours error
	for _, err := range errs {
		var fault *chain.Fault
		var own *ownError
		switch {
		case errors.As(err, &fault):
			return fault
		case errors.As(err, &own) && ours == nil:
			ours = own.err
		}
	}
	return ours
}

// ownError is a failure of ClickHouse or the vault on the way to a witness.
type ownError struct{ err error }

func (o *ownError) Error() string { return o.err.Error() }

// point returns what is shown: the vault's checkpoint. If the vault has none, as after the loss of it, that is one of the first entry, which every later
// checkpoint continues: a witness that has seen more says so.
func (w *witnessed) point(ctx context.Context) (vault.Checkpoint, bool, error) {
	e := w.exporter
	stored, found, err := e.deps.Vault.Checkpoint(ctx, w.log)
	if err != nil || found {
		return stored, found, err
	}
	entry, err := e.deps.Store.EntryAt(ctx, w.log, 0)
	var bad *chain.Fault
	if errors.Is(err, store.ErrNotFound) || errors.As(err, &bad) {
		return vault.Checkpoint{}, false, nil // which following finds too
	}
	if err != nil {
		return vault.Checkpoint{}, false, err
	}
	leaf := chain.LeafHash(entry)
	if err := chain.NewVerifier(w.log).Check(0, entry, leaf); err != nil {
		return vault.Checkpoint{}, false, nil //nolint:nilerr // as above
	}
	first := chain.Checkpoint{Deployment: e.deps.Vault.Deployment(), Log: w.log, Size: 1, Root: leaf}
	signed, err := first.Sign(e.keys.Load().signers...)
	if err != nil {
		return vault.Checkpoint{}, false, err
	}
	return vault.Checkpoint{Log: w.log, Size: 1, Head: leaf, Root: leaf, Note: string(signed)}, true, nil // At is zero: nobody keeps it
}

// show has one witness sign a checkpoint, and keeps what it signed. oldSize is the size that the witness is thought to have.
func (w *witnessed) show(ctx context.Context, one *oneWitness, point vault.Checkpoint, oldSize uint64) error {
	e := w.exporter
	select {
	case one.turn <- struct{}{}:
		defer func() { <-one.turn }()
	case <-ctx.Done():
		e.witnesses.asked.WithLabelValues(witnessUnreachable).Inc()
		return context.Cause(ctx)
	}
	old := min(oldSize, point.Size)
	var err error
	for range proofAttempts {
		proof, proofErr := chain.Consistency(old, point.Size, point.Root, e.deps.Store.TileReader(ctx, w.log))
		if proofErr != nil {
			return &ownError{proofErr}
		}
		var cosigned []byte
		cosigned, err = one.Add(ctx, old, proof, []byte(point.Note))
		if err == nil {
			err = e.deps.Vault.KeepCosigned(ctx, vault.Cosigned{Log: w.log, Witness: one.Key(), Size: point.Size, Note: string(cosigned), At: time.Now()})
			if err != nil {
				return &ownError{err}
			}
			e.witnesses.asked.WithLabelValues(witnessCosigned).Inc()
			e.witnesses.ages.note(w.log, one.Name(), time.Now())
			return nil
		}
		var ahead *witness.AheadError
		if errors.As(err, &ahead) {
			// Another exporter may have moved the log and shown that, since point was read.
			latest, _, readErr := e.deps.Vault.Checkpoint(ctx, w.log)
			if readErr != nil {
				return &ownError{readErr}
			}
			if latest.Size >= ahead.Size {
				point, err = latest, &witness.SizeError{Size: ahead.Size}
			}
		}
		var other *witness.SizeError
		if !errors.As(err, &other) {
			break
		}
		old = other.Size
	}
	return w.refuse(one, point, old, err)
}

// refuse counts why a witness has not signed, and makes a contradiction a fault of the log.
func (w *witnessed) refuse(one *oneWitness, point vault.Checkpoint, old uint64, err error) error {
	var ahead *witness.AheadError
	var refused *witness.RefusedError
	var behind *witness.SizeError
	result := witnessUnreachable
	switch {
	case errors.As(err, &ahead):
		result = witnessContradicted
		err = fault(w.log, point.Size, "witness %s has cosigned %d entries, but the latest checkpoint here has %d: the vault went back, or the witness errs",
			one.Name(), ahead.Size, point.Size)
	case errors.Is(err, witness.ErrForked):
		result = witnessContradicted
		err = fault(w.log, max(old, 1)-1, "witness %s has cosigned another history of the first %d entries: the log was rewritten, or the witness errs", one.Name(), old)
	case errors.As(err, &refused), errors.As(err, &behind):
		result = witnessRefused
	case errors.Is(err, witness.ErrAnswer):
		result = witnessInvalid
	}
	w.exporter.witnesses.asked.WithLabelValues(result).Inc()
	return err
}

// witnessAges shows how long ago each witness has signed. The age grows by itself, so it is computed when asked for.
type witnessAges struct {
	age *prometheus.Desc

	mu     sync.Mutex
	signed map[[2]string]time.Time // by log and witness: when it last signed, or the log was found
}

func (a *witnessAges) note(log, name string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.signed[[2]string{log, name}] = at
}

// Describe implements prometheus.Collector.
func (a *witnessAges) Describe(out chan<- *prometheus.Desc) { out <- a.age }

// Collect implements prometheus.Collector.
func (a *witnessAges) Collect(out chan<- prometheus.Metric) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, at := range a.signed {
		out <- prometheus.MustNewConstMetric(a.age, prometheus.GaugeValue, time.Since(at).Seconds(), key[0], key[1])
	}
}
