package vault

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

func TestPrunes(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		const log = "agent.events/3"
		if entries, contents, err := v.LatestPrunes(t.Context(), log); entries != nil || contents != nil || err != nil {
			t.Fatalf("of a log that was never pruned: %v, %v, %v", entries, contents, err)
		}
		record := func(p Prune) Prune {
			t.Helper()
			stored, recorded, err := v.RecordPrune(t.Context(), p)
			if err != nil || !recorded || stored != p {
				t.Errorf("recorded %+v, %v, %v; want %+v", stored, recorded, err, p)
			}
			return stored
		}
		one := record(Prune{Log: log, What: chain.PrunedEntries, Behind: 512, Note: "note 1", Record: [16]byte{1}, Reason: "old", At: at})
		two := record(Prune{Log: log, What: chain.PrunedEntries, Behind: 1 << 40, Note: "note 2", Record: [16]byte{2}, Reason: "older", At: at})
		contents := record(Prune{Log: log, What: chain.PrunedContents, Behind: 512, Note: "note 3", Record: [16]byte{3}, At: at})
		other := record(Prune{Log: "agent.events/10", What: chain.PrunedEntries, Behind: 768, Note: "note 4", Record: [16]byte{4}, At: at})

		// Who comes second is told what the first one has recorded: it is that which is sealed as an entry.
		again := one
		again.Note, again.Record = "another note", [16]byte{9}
		if stored, recorded, err := v.RecordPrune(t.Context(), again); stored != one || recorded || err != nil {
			t.Errorf("the second of two: %+v, %v, %v", stored, recorded, err)
		}
		for _, behind := range []uint64{0, 1 << 63} {
			if _, _, err := v.RecordPrune(t.Context(), Prune{Log: log, What: chain.PrunedEntries, Behind: behind, At: at}); err == nil {
				t.Errorf("recorded a prune behind %d", behind)
			}
		}

		done := at.Add(time.Hour)
		for _, when := range []time.Time{done, done.Add(time.Hour)} { // the second time it is done already
			if err := v.FinishPrune(t.Context(), one, when); err != nil {
				t.Error(err)
			}
		}
		one.Done = done
		if all, err := v.Prunes(t.Context()); err != nil || !reflect.DeepEqual(all, []Prune{other, contents, one, two}) {
			t.Errorf("all: %+v, %v", all, err)
		}
		if furthest, of, err := v.LatestPrunes(t.Context(), log); err != nil || *furthest != two || *of != contents {
			t.Errorf("latest: %+v, %+v, %v", furthest, of, err)
		}
	})
}

// What the vault says counts only as far as it is signed.
func TestOpenSigned(t *testing.T) {
	const deployment, log = "acme/prod", "agent.events/3"
	private, public, err := note.GenerateKey(nil, deployment)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	known, nobody := note.VerifierList(verifier), note.VerifierList()

	said := chain.Pruned{Deployment: deployment, Log: log, What: chain.PrunedEntries, Behind: 512, Leaf: chain.Hash{1}, Root: chain.Hash{2}, Next: 512, Epoch: 202611}
	signed, err := said.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	good := Prune{Log: log, What: said.What, Behind: said.Behind, Note: string(signed)}
	if opened, err := good.Open(deployment, known); opened != said || err != nil {
		t.Errorf("opened %+v, %v", opened, err)
	}
	if _, err := good.Open(deployment, nobody); !errors.Is(err, chain.ErrNotSigned) {
		t.Errorf("signed by nobody known: %v", err)
	}
	if _, err := good.Open("acme/test", known); err == nil {
		t.Error("opened a record of another deployment")
	}
	for _, change := range []func(p *Prune){
		func(p *Prune) { p.Log = "agent.events/4" },
		func(p *Prune) { p.What = chain.PrunedContents },
		func(p *Prune) { p.Behind = 768 },
	} {
		p := good
		change(&p)
		if opened, err := p.Open(deployment, known); opened != (chain.Pruned{}) || err == nil || !strings.Contains(err.Error(), "signed for something else") {
			t.Errorf("%+v: opened %+v, %v", p, opened, err)
		}
	}

	point := chain.Checkpoint{Deployment: deployment, Log: log, Size: 700, Root: chain.Hash{3}}
	if signed, err = point.Sign(signer); err != nil {
		t.Fatal(err)
	}
	vouched := Checkpoint{Log: log, Size: 700, Root: chain.Hash{3}, Note: string(signed)}
	if err := vouched.Open(deployment, known); err != nil {
		t.Error(err)
	}
	if err := vouched.Open(deployment, nobody); !errors.Is(err, chain.ErrNotSigned) {
		t.Errorf("signed by nobody known: %v", err)
	}
	if err := vouched.Open("acme/test", known); err == nil {
		t.Error("opened a checkpoint of another deployment")
	}
	for _, change := range []func(c *Checkpoint){
		func(c *Checkpoint) { c.Log = "agent.events/4" },
		func(c *Checkpoint) { c.Size = 699 },
		func(c *Checkpoint) { c.Root = chain.Hash{4} },
	} {
		c := vouched
		change(&c)
		if err := c.Open(deployment, known); err == nil || !strings.Contains(err.Error(), "something else than what is signed") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
