package exporter

import (
	"context"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// The steps in which a checkpoint is made, as followers see them. Each can fail, be done though it is reported as failed, or be the last thing that a process
// does: the tests make all of that happen to each of them. Vault, Store and Client are what is behind them otherwise.
type (
	// ledger is where the latest checkpoint of each log is: *vault.Vault.
	ledger interface {
		Deployment() string
		Checkpoint(ctx context.Context, log string) (vault.Checkpoint, bool, error)
		CompareAndSwapCheckpoint(ctx context.Context, log string, oldSize uint64, next vault.Checkpoint) (swapped bool, err error)
		ReplaceNote(ctx context.Context, c vault.Checkpoint, note string) error
	}

	// table is where entries and tiles are: *store.Store.
	table interface {
		EntryAt(ctx context.Context, log string, seq uint64) ([]byte, error)
		ScanLinks(ctx context.Context, log string, from uint64, fn func(*store.Scanned) error) error
		TileHashes(ctx context.Context, log string, place chain.TilePlace) ([]byte, error)
		StageTiles(ctx context.Context, log string, tiles []store.StoredTile) error
	}

	// outbox is where checkpoints are published: *kafkaio.Client.
	outbox interface {
		Produce(ctx context.Context, topic string, messages []kafkaio.Message) error
	}
)
