package detector

import (
	"context"
	"errors"
	"fmt"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// snapshots stores what was learned, together with the places from which reading goes on. States are collected by the goroutine that owns the engine and stored
// by another one; what could not be stored is stored with the next snapshot.
type snapshots struct {
	vault *vault.Vault
	turn  *vault.Turn

	pending map[string]vault.DetectorState // changed since the last snapshot that was stored
	saving  map[string]vault.DetectorState // on its way to the vault; nil: nothing is
	done    chan error                     // how that ended
}

func newSnapshots(v *vault.Vault, turn *vault.Turn) *snapshots {
	return &snapshots{vault: v, turn: turn, pending: map[string]vault.DetectorState{}, done: make(chan error, 1)}
}

// begin stores what has changed, in a goroutine that the caller awaits through done. It does nothing while an earlier one is on its way.
func (s *snapshots) begin(ctx context.Context, engine *anomaly.Engine, places vault.DetectorPlaces) {
	if s.saving != nil {
		return
	}
	engine.Changed(func(key anomaly.Key, state []byte) {
		id := key.Append(nil)
		s.pending[string(id)] = vault.DetectorState{ID: id, Subject: gdpr.SubjectID(key.Subject), State: append([]byte(nil), state...)}
	})
	s.saving, s.pending = s.pending, map[string]vault.DetectorState{}
	list := make([]vault.DetectorState, 0, len(s.saving))
	for _, state := range s.saving {
		list = append(list, state)
	}
	go func() { s.done <- s.vault.SaveDetector(ctx, s.turn, list, places) }() // ends with ctx at the latest; whoever called begin receives from done
}

// ended takes the outcome. It returns an error only when the turn is lost or the snapshot before was forged, and the failure as a warning otherwise.
func (s *snapshots) ended(err error) (warning, lost error) {
	failed := s.saving
	s.saving = nil
	if err == nil {
		return nil, nil
	}
	for id, state := range failed {
		if _, newer := s.pending[id]; !newer {
			s.pending[id] = state
		}
	}
	// What somebody else has put in the place of the last snapshot: what it says is not known, and what was stored since cannot be joined to it.
	if errors.Is(err, vault.ErrTurnLost) || errors.Is(err, vault.ErrForged) {
		return nil, err
	}
	return err, nil
}

// forget drops what was to be stored of a person who is gone.
func (s *snapshots) forget(subject [16]byte) {
	for id, state := range s.pending {
		if state.Subject == gdpr.SubjectID(subject) {
			delete(s.pending, id)
		}
	}
}

// restore has an engine of newEngine take up the last snapshot, and returns it, and where to read on. A state that cannot be read, because it is damaged, from
// another version of the program or not ours, is told to refused and left out: whom it was about is learned anew. Were it an error, one row would end all detection
// for good.
//
// If the snapshot itself is not ours, nothing tells which events were seen: all that was learned is forgotten, and everything that Kafka has is read again. What was
// said before is not said twice, as after any restart.
func restore(ctx context.Context, v *vault.Vault, turn *vault.Turn, newEngine func() (*anomaly.Engine, error), refused func(error)) (*anomaly.Engine, vault.DetectorPlaces, error) {
	engine, err := newEngine()
	if err != nil {
		return nil, nil, err
	}
	places, err := v.LoadDetector(ctx, func(s vault.DetectorState) error {
		key, err := anomaly.ParseKey(s.ID)
		if err == nil {
			err = engine.Restore(key, s.State)
		}
		if err != nil {
			refused(err)
		}
		return nil
	}, func(err *vault.ForgedError) { refused(err) })
	if !errors.Is(err, vault.ErrForged) {
		return engine, places, err
	}
	refused(fmt.Errorf("all that was learned is forgotten, and everything that Kafka has is read again: %w", err))
	if err := v.ResetDetector(ctx, turn); err != nil {
		return nil, nil, err
	}
	engine, err = newEngine()
	return engine, vault.DetectorPlaces{}, err
}
