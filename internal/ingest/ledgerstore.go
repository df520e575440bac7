package ingest

import (
	"context"

	"github.com/agentaudit/agentaudit/internal/ledger"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
)

// LedgerStore lets a ledger.Writer write to ClickHouse.
func LedgerStore(s *store.Store) ledger.Store[*store.Block] { return ledgerStore{s} }

type ledgerStore struct{ *store.Store }

func (l ledgerStore) OpenSession(ctx context.Context, log string) (ledger.Session[*store.Block], error) {
	return l.OpenWriter(ctx, log)
}

func (l ledgerStore) Quiet(ctx context.Context, log string) (bool, error) {
	n, err := l.InsertsInFlight(ctx, log)
	return n == 0, err
}

// anchors reads the checkpoints that a log must still hold.
func anchors(v *vault.Vault) ledger.AnchorFunc {
	return func(ctx context.Context, log string) (ledger.Anchor, bool, error) {
		checkpoint, found, err := v.Checkpoint(ctx, log)
		return ledger.Anchor{Size: checkpoint.Size, Leaf: checkpoint.Head}, found, err
	}
}
