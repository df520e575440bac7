package retention

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// involve makes an entry somebody's, in the way that a column says.
func (r *rig) involve(seq string, column, value string) {
	r.t.Helper()
	r.exec("ALTER TABLE {events} UPDATE " + column + " = " + value + " WHERE log = {log} AND seq = " + seq)
}

// What involves a person under a legal hold stays, and what is behind it; when the hold is over it goes.
func TestHoldsForbidPruning(t *testing.T) {
	r := newRig(t)
	r.threeEpochs(1700)
	actor, touched, approver := gdpr.SubjectID{1}, gdpr.SubjectID{2}, gdpr.SubjectID{3}
	r.involve("1700", "subject", "toUUID('"+actor.String()+"')")
	r.involve("1100", "data_subjects", "[toUUID('"+touched.String()+"')]")
	r.involve("900", "approver", "toUUID('"+approver.String()+"')")
	hold := func(id byte, of gdpr.SubjectID) vault.Hold {
		t.Helper()
		h := vault.Hold{ID: [16]byte{id}, Subject: of, Reason: "case", Author: "counsel", At: time.Now()}
		if err := r.deps.Vault.AddHold(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		return h
	}
	lift := func(h vault.Hold) {
		t.Helper()
		if lifted, err := r.deps.Vault.LiftHold(t.Context(), h.ID, time.Now()); err != nil || !lifted {
			t.Fatal(lifted, err)
		}
	}
	unheld := r.cut(chain.PrunedEntries, 202603)
	want := func(what string, behind uint64, by *vault.Hold) Cut {
		t.Helper()
		cut := r.cut(what, 202603)
		if cut.Behind != behind || (cut.Held == nil) != (by == nil) || by != nil && cut.Held.ID != by.ID {
			t.Fatalf("%s: cut %+v, want one before %d", what, cut, behind)
		}
		return cut
	}
	first := hold(1, actor)
	want(chain.PrunedEntries, 1536, &first)
	want(chain.PrunedContents, 1700, &first)
	second := hold(2, touched)
	want(chain.PrunedEntries, 1024, &second)
	want(chain.PrunedContents, 1100, &second)
	third := hold(3, approver)
	want(chain.PrunedEntries, 768, &third)

	// One that was planned before the hold is refused, and leaves nothing.
	var held *vault.HeldError
	if _, err := r.Prune(t.Context(), unheld, "test"); !errors.As(err, &held) || held.Hold.ID != third.ID {
		t.Errorf("pruned in spite of a hold: %v", err)
	}
	if list, err := r.deps.Vault.Prunes(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("recorded: %+v, %v", list, err)
	}
	// What can go goes.
	if done := r.prune(chain.PrunedEntries, 202603); done.Behind != 768 {
		t.Errorf("pruned up to %d", done.Behind)
	}
	if n := r.count("seq >= 768"); n != r.log.Head().Size-768 {
		t.Errorf("%d rows are left behind the cut", n)
	}
	lift(third)
	want(chain.PrunedEntries, 1024, &second)
	lift(second)
	lift(first)
	cut := want(chain.PrunedEntries, unheld.Behind, nil)

	// A hold that is ordered between the record and the deletion stops the deletion; later it goes on.
	keys, err := r.Pruner.keys()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := r.vouch(t.Context(), cut, keys)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.deps.Vault.RecordPrune(t.Context(), newPrune(cut, signed, "test")); err != nil {
		t.Fatal(err)
	}
	last := hold(4, actor)
	if err := r.Resume(context.Background()); !errors.As(err, &held) {
		t.Errorf("dropped in spite of a hold: %v", err)
	}
	if n := r.count("seq = 1700"); n != 1 {
		t.Error("the entry is gone")
	}
	lift(last)
	if err := r.Resume(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := r.count("seq >= 256 AND seq < 2560"); n != 0 {
		t.Errorf("%d pruned rows are left", n)
	}
}
