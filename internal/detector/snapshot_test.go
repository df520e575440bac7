package detector

import (
	"errors"
	"testing"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// TestFailedSnapshot: what could not be stored is stored with the next one, unless something newer is, and nothing of who was erased.
func TestFailedSnapshot(t *testing.T) {
	state := func(subject byte, text string) vault.DetectorState {
		return vault.DetectorState{ID: []byte{subject}, Subject: gdpr.SubjectID{subject}, State: []byte(text)}
	}
	s := newSnapshots(nil, nil)
	s.saving = map[string]vault.DetectorState{"a": state(1, "old"), "b": state(2, "old")}
	s.pending = map[string]vault.DetectorState{"a": state(1, "new"), "c": state(3, "new")}
	s.forget([16]byte{3})
	away := errors.New("away")
	if warning, lost := s.ended(away); !errors.Is(warning, away) || lost != nil || s.saving != nil {
		t.Errorf("%v, %v", warning, lost)
	}
	if len(s.pending) != 2 || string(s.pending["a"].State) != "new" || string(s.pending["b"].State) != "old" {
		t.Errorf("%v", s.pending)
	}
	if warning, lost := s.ended(vault.ErrTurnLost); warning != nil || !errors.Is(lost, vault.ErrTurnLost) {
		t.Errorf("%v, %v", warning, lost)
	}
	if warning, lost := s.ended(nil); warning != nil || lost != nil || len(s.pending) != 2 {
		t.Errorf("%v, %v, %v", warning, lost, s.pending)
	}
}
