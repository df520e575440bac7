package ledger

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// calmWriter is a writer to m in a world without faults.
func calmWriter(t *testing.T, m *model, anchor AnchorFunc) *Writer[modelBatch] {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	l := &link{model: m, wg: &sync.WaitGroup{}, net: &network{rng: rng, rough: func() bool { return false }}}
	w, err := NewWriter(simLog, DefaultConfig(), Deps[modelBatch]{Store: l, Anchor: anchor})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// fill stores n entries and returns the anchor of the whole log.
func fill(t *testing.T, m *model, n int64) Anchor {
	t.Helper()
	w := calmWriter(t, m, noAnchor)
	defer w.Close()
	if err := w.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	sw := &simWriter{rng: rand.New(rand.NewPCG(2, 2)), records: n}
	for {
		b := sw.batch(w.Head())
		if b == nil {
			return Anchor{Size: w.Head().Size, Leaf: w.Head().Leaf}
		}
		if err := w.Extend(t.Context(), b, b.head(simLog)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoadRefusesALogThatDoesNotHoldItsCheckpoint(t *testing.T) {
	f := func(name string, harm func(m *model, a *Anchor)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newModel(modelFaults{})
				anchor := fill(t, m, 10)
				harm(m, &anchor)
				w := calmWriter(t, m, func(context.Context, string) (Anchor, bool, error) { return anchor, true, nil })
				defer w.Close()
				err := w.Load(t.Context())
				var rollback *RollbackError
				if !errors.As(err, &rollback) || rollback.Log != simLog {
					t.Fatalf("got %v, want a rollback of %s", err, simLog)
				}
			})
		})
	}
	f("last batch missing", func(m *model, _ *Anchor) { m.batches = m.batches[:len(m.batches)-1] })
	f("everything missing", func(m *model, _ *Anchor) { m.batches = nil })
	f("another history of the same size", func(_ *model, a *Anchor) { a.Leaf[0] ^= 1 })
	f("rewritten below the head", func(m *model, a *Anchor) {
		a.Size, a.Leaf = 1, chain.Hash{1}
	})
}

func TestLoadAcceptsALogThatGrewSinceItsCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(modelFaults{})
		anchor := fill(t, m, 5)
		fill(t, m, 10)
		w := calmWriter(t, m, func(context.Context, string) (Anchor, bool, error) { return anchor, true, nil })
		defer w.Close()
		if err := w.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if w.Head().Next != 10 {
			t.Fatalf("head continues at %d, want 10", w.Head().Next)
		}
	})
}

func TestExtendRefusesAClosedLog(t *testing.T) {
	w := calmWriter(t, newModel(modelFaults{}), noAnchor)
	w.head = chain.Head{Log: simLog, Size: 3, Closed: true}
	if err := w.Extend(t.Context(), nil, chain.Head{Size: 4}); !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v, want ErrClosed", err)
	}
}

// A checkpoint that cannot be read must not let a log pass unchecked.
func TestLoadWaitsForTheCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(modelFaults{})
		fill(t, m, 5)
		w := calmWriter(t, m, func(context.Context, string) (Anchor, bool, error) {
			return Anchor{}, false, errors.New("vault is away")
		})
		defer w.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := w.Load(ctx); err == nil {
			t.Fatal("loaded without knowing the checkpoint")
		}
	})
}

// The proof that a token is burned holds for one run of the store. Found by the
// simulation (a power loss took the burned token, and attempts 0 and 1 of two
// writers were both accepted).
func TestAttemptIsForgottenWithItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(modelFaults{})
		w := calmWriter(t, m, noAnchor)
		defer w.Close()
		if err := w.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.attempt = 1
		m.crash(0, 0, false)
		sw := &simWriter{rng: rand.New(rand.NewPCG(2, 2)), records: 1}
		b := sw.batch(w.Head())
		if err := w.Extend(t.Context(), b, b.head(simLog)); err != nil {
			t.Fatal(err)
		}
		head := chain.Head{Log: simLog}
		if want := "0/" + head.Token(0); len(m.tokens) != 1 || m.tokens[0] != want {
			t.Fatalf("tokens %v, want only the first attempt", m.tokens)
		}
	})
}

func TestConfigRefusesBoundsThatBreakTheFence(t *testing.T) {
	f := func(name string, change func(*Config)) {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultConfig()
			change(&cfg)
			if cfg.Validate() == nil {
				t.Fatalf("accepted %+v", cfg)
			}
		})
	}
	f("no limit of execution", func(c *Config) { c.MaxExecution = 0 })
	f("insert given up before the store may", func(c *Config) { c.InsertTimeout = c.MaxExecution - 1 })
	f("no read timeout", func(c *Config) { c.ReadTimeout = 0 })
	f("pauses descend", func(c *Config) { c.RetryMax = c.RetryMin - 1 })
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatal(err)
	}
}
