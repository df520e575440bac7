// Package retention drops what is old: whole epochs of a log's entries, or the contents beside them. Nothing goes before a signed prune record, which is
// itself an entry, says what was there; with it, what remains verifies as before. See docs/operations.md.
package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/systemlog"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Deps are the systems that a Pruner works with. It closes none of them.
type Deps struct {
	Kafka *kafkaio.Client
	Store *store.Store
	// Dropper is the store under a user who may change rows. Ours may not.
	Dropper *store.Store
	Vault   *vault.Vault
	Author  *author.Author // signs the system records; registered in the vault
	Keys    func() (*logkeys.Folder, error)
	Log     *slog.Logger
}

// Pruner drops parts of logs. It is safe for concurrent use, and several of them do each other no harm.
type Pruner struct {
	deps    Deps
	speaker *systemlog.Speaker
}

// New returns a Pruner that says what it does on the given topic of system records.
func New(deps Deps, systemTopic string) *Pruner {
	return &Pruner{deps, systemlog.New(systemlog.Deps{Kafka: deps.Kafka, Store: deps.Store, Vault: deps.Vault, Author: deps.Author, Topic: systemTopic})}
}

// Prune drops what a cut names: it checks the whole log, signs what is there, has that sealed as an entry and covered by a checkpoint, and then drops.
// Interrupted anywhere, it is called again, or Resume. A *vault.HeldError says that a legal hold forbids it, a *chain.Fault that the log is not what was vouched for; then nothing is dropped.
func (p *Pruner) Prune(ctx context.Context, cut Cut, reason string) (vault.Prune, error) {
	if err := p.deps.Author.Register(ctx, p.deps.Vault); err != nil {
		return vault.Prune{}, err
	}
	if err := p.forbidden(ctx, partOf(cut.What, cut.Log, cut.Behind)); err != nil {
		return vault.Prune{}, fmt.Errorf("prune %s: %w", cut.Log, err)
	}
	keys, err := p.keys()
	if err != nil {
		return vault.Prune{}, err
	}
	p.deps.Log.Info("checking the log before a part of it goes", "log", cut.Log, "what", cut.What, "behind", cut.Behind)
	signed, err := p.vouch(ctx, cut, keys)
	if err != nil {
		return vault.Prune{}, fmt.Errorf("prune %s: %w", cut.Log, err)
	}
	recorded, _, err := p.deps.Vault.RecordPrune(ctx, newPrune(cut, signed, reason))
	if err != nil {
		return vault.Prune{}, err
	}
	return p.finish(ctx, recorded, keys)
}

// Resume finishes what was recorded and not finished, and drops again what a restored backup of ClickHouse has brought back.
func (p *Pruner) Resume(ctx context.Context) error {
	return p.resume(ctx, func(vault.Prune) bool { return true })
}

func (p *Pruner) resume(ctx context.Context, ours func(vault.Prune) bool) error {
	all, err := p.deps.Vault.Prunes(ctx)
	if err != nil {
		return err
	}
	keys, err := p.keys()
	if err != nil {
		return err
	}
	var errs []error
	for i, prune := range all {
		further := i+1 < len(all) && all[i+1].Log == prune.Log && all[i+1].What == prune.What
		if !ours(prune) || further && !prune.Done.IsZero() {
			continue
		}
		_, err := p.finish(ctx, prune, keys)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// finish does what is left to do about a recorded prune, if it is signed.
func (p *Pruner) finish(ctx context.Context, prune vault.Prune, keys signing) (vault.Prune, error) {
	if _, err := prune.Open(p.deps.Vault.Deployment(), keys.known); err != nil {
		return prune, fmt.Errorf("prune record of %s behind %d: %w", prune.Log, prune.Behind, err)
	}
	if !prune.Done.IsZero() {
		return prune, p.drop(ctx, prune)
	}
	p.deps.Log.Info("waiting until the record of it is sealed and signed", "log", prune.Log, "what", prune.What, "behind", prune.Behind)
	if _, err := p.speaker.SayCovered(ctx, recordOf(prune)); err != nil {
		return prune, fmt.Errorf("prune %s: %w", prune.Log, err)
	}
	if err := p.drop(ctx, prune); err != nil {
		return prune, err
	}
	prune.Done = now()
	return prune, p.deps.Vault.FinishPrune(ctx, prune, prune.Done)
}

// drop drops what a prune names, as far as it is there.
func (p *Pruner) drop(ctx context.Context, prune vault.Prune) error {
	part := partOf(prune.What, prune.Log, prune.Behind)
	// It may have been ordered since.
	if err := p.forbidden(ctx, part); err != nil {
		return fmt.Errorf("drop what was pruned of %s: %w", prune.Log, err)
	}
	progress := func(left uint64) {
		p.deps.Log.Info("dropping", "log", prune.Log, "what", prune.What, "rows_left", left)
	}
	if prune.What == chain.PrunedEntries {
		return p.deps.Dropper.DropEntries(ctx, part, progress)
	}
	return p.deps.Dropper.DropContents(ctx, part, progress)
}

// partOf is what goes of a log.
func partOf(what, log string, behind uint64) store.Part {
	part := store.Part{Log: log, Behind: behind}
	if what == chain.PrunedEntries {
		part.From = chain.PrunedFrom
	}
	return part
}

// signing are the keys of one moment.
type signing struct {
	signers []note.Signer
	known   note.Verifiers
}

func (p *Pruner) keys() (signing, error) {
	folder, err := p.deps.Keys()
	if err != nil {
		return signing{}, err
	}
	known, err := logkeys.Verifiers(folder.VKeys())
	return signing{folder.Signers(), known}, err
}
