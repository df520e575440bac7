package prove_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agentaudit/agentaudit/internal/prove"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/testkit/deployment"
	"github.com/agentaudit/agentaudit/internal/testkit/testlog"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The proofs of many entries are those that each of them gets alone.
func TestLogProver(t *testing.T) {
	d := deployment.New(t)
	log := chain.LogName(d.Ingest.EventsTopic, 0, 0)
	l := testlog.Open(t, d.Store, deployment.Name, log)
	l.Epoch(202611)
	for range 7 {
		l.Add(10_007) // three levels of tiles, none of which ends in a full one
	}
	stop := d.StartExporter()
	size := l.Head().Size
	testkit.Eventually(t, time.Minute, func() bool {
		point, found, err := d.Vault.Checkpoint(context.Background(), log)
		return err == nil && found && point.Size == size
	}, "everything is signed")
	stop()
	prover := prove.Prover{Store: d.Store, Vault: d.Vault}
	many, err := prover.Log(t.Context(), log)
	if err != nil || many.Checkpoint.Size != size {
		t.Fatal(many, err)
	}
	seqs := []uint64{0, 1, 255, 256, 511, 65_535, 65_536, size - 2, size - 1}
	random := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		seqs = append(seqs, random.Uint64N(size))
	}
	slices.Sort(seqs)
	for part := range slices.Chunk(seqs, 10) {
		if err := many.Prepare(t.Context(), part); err != nil {
			t.Fatal(err)
		}
		for _, seq := range part {
			entry, err := d.Store.EntryAt(t.Context(), log, seq)
			if err != nil {
				t.Fatal(err)
			}
			got, err := many.Entry(t.Context(), seq, entry)
			if err != nil {
				t.Fatalf("entry %d: %v", seq, err)
			}
			if want, err := prover.Entry(t.Context(), log, seq); err != nil || !bytes.Equal(got, want) {
				t.Errorf("entry %d: another proof, %v", seq, err)
			}
			var fault *chain.Fault
			if _, err := many.Entry(t.Context(), seq, append(entry, ' ')); !errors.As(err, &fault) || fault.Seq != seq {
				t.Errorf("another entry is proved at %d: %v", seq, err)
			}
		}
	}
	if _, err := many.Entry(t.Context(), size, nil); !errors.Is(err, prove.ErrNotCovered) {
		t.Errorf("an entry behind the checkpoint: %v", err)
	}
	// Not prepared: read one by one.
	alone, err := prover.Log(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := d.Store.EntryAt(t.Context(), log, 300)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alone.Entry(t.Context(), 300, entry); err != nil {
		t.Error(err)
	}
	if none, err := prover.Log(t.Context(), "agent.events/77"); err != nil || none.Checkpoint.Size != 0 {
		t.Errorf("a log that is not there: %+v, %v", none.Checkpoint, err)
	}
}
