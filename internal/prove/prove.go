// Package prove makes proofs of single entries: files that show, with nothing but a public key, that an entry stands in a log.
package prove

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/internal/witness"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// ErrNotCovered: the entry is there, but the log's checkpoint does not reach it yet. It does within a second or two, while an exporter runs.
var ErrNotCovered = errors.New("the log's checkpoint does not cover the entry yet; try again in a moment")

// ErrNotWitnessed: no witness has signed a checkpoint of the log. Perhaps none is asked.
var ErrNotWitnessed = errors.New("no witness has signed a checkpoint of the log yet: see exporter.witnesses")

// Prover makes proofs from what the store and the vault have. It is safe for concurrent use.
type Prover struct {
	Store *store.Store
	Vault *vault.Vault
	// Witnessed proves entries below the newest checkpoint that witnesses have signed, which is behind the latest one.
	Witnessed bool
	// Tenant restricts Event to entries of one tenant; empty: of all.
	Tenant string
}

// maxMatches bounds the entries of one event id. Ids are meant to be unique, but producers choose them.
const maxMatches = 1000

// Event returns proofs of all entries with an event id, in the order of their times; store.ErrNotFound if there is none.
func (p *Prover) Event(ctx context.Context, id [16]byte) ([][]byte, error) {
	found, err := p.Store.FindEvents(ctx, store.Filter{EventID: id, Tenant: p.Tenant, Limit: maxMatches, WithoutContent: true})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no entry has this event id: %w", store.ErrNotFound)
	}
	proofs := make([][]byte, len(found))
	for i := range found {
		if proofs[i], err = p.Entry(ctx, found[i].Log, found[i].Seq); err != nil {
			return nil, err
		}
	}
	return proofs, nil
}

// Entry returns the proof of the entry at seq of a log, below the log's checkpoint: ErrNotCovered, ErrNotWitnessed, store.ErrNotFound, or an error that says that the
// tiles do not make the checkpoint's root, in which case `agentaudit verify` says what is wrong.
func (p *Prover) Entry(ctx context.Context, log string, seq uint64) ([]byte, error) {
	signed, checkpoint, err := p.checkpoint(ctx, log)
	if err != nil {
		return nil, err
	}
	if seq >= checkpoint.Size {
		if _, err := p.Store.EntryAt(ctx, log, seq); err != nil {
			return nil, err
		}
		if p.Witnessed && checkpoint.Size == 0 {
			return nil, fmt.Errorf("prove entry %d of %s: %w", seq, log, ErrNotWitnessed)
		}
		return nil, fmt.Errorf("prove entry %d of %s: %w", seq, log, ErrNotCovered)
	}
	bundle, err := p.Store.Bundle(ctx, log, seq, 1)
	if err != nil {
		return nil, err
	}
	entry, _, err := chain.CutBundled(bundle)
	if err != nil {
		return nil, fmt.Errorf("prove entry %d of %s: %w", seq, log, err)
	}
	inclusion, err := chain.Inclusion(checkpoint.Size, checkpoint.Root, seq, p.Store.TileReader(ctx, log))
	if err != nil {
		return nil, fmt.Errorf("prove entry %d of %s: %w", seq, log, err)
	}
	if err := tlog.CheckRecord(inclusion, int64(checkpoint.Size), tlog.Hash(checkpoint.Root), int64(seq), tlog.Hash(chain.LeafHash(entry))); err != nil {
		return nil, &chain.Fault{Log: log, Seq: seq, Reason: "not the entry that the checkpoint covers"}
	}
	return chain.FormatProof(seq, entry, inclusion, signed), nil
}

// checkpoint returns what a proof ends with; Size 0 if there is none.
func (p *Prover) checkpoint(ctx context.Context, log string) (signed []byte, point chain.Checkpoint, err error) {
	if p.Witnessed {
		kept, err := p.Vault.Cosigned(ctx, log)
		if err != nil {
			return nil, point, err
		}
		signed = witness.Newest(kept)
	} else {
		latest, _, err := p.Vault.Checkpoint(ctx, log)
		if err != nil {
			return nil, point, err
		}
		signed = []byte(latest.Note)
	}
	if len(signed) == 0 {
		return nil, point, nil
	}
	point, err = chain.ReadCheckpoint(signed)
	return signed, point, err
}
