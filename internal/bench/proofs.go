package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/prove"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

const (
	// warmProofs are made before the clock runs.
	warmProofs = 100
	// timedProofs of random entries are measured.
	timedProofs = 1000
)

// prove measures proofs as an auditor makes them, from files over HTTP, and as `agentaudit prove` does.
func (s *stored) prove(ctx context.Context) error {
	fmt.Fprintln(os.Stderr, "proofs …")
	keys, err := logkeys.Load(string(s.folder.cfg.Exporter.SigningKeys), s.folder.cfg.Deployment)
	if err != nil {
		return err
	}
	known, err := logkeys.Verifiers(keys.VKeys())
	if err != nil {
		return err
	}
	auditor := &auditor{base: "http://" + s.folder.cfg.HTTP.Exporter + "/log/" + storedLog + "/", known: known}
	prover := &prove.Prover{Store: s.systems.Store, Vault: s.systems.Vault}
	for _, way := range []struct {
		name string
		one  func(ctx context.Context, seq uint64) ([]byte, error)
	}{
		{"  a proof over HTTP, nothing kept", auditor.prove},
		{"  a proof by `agentaudit prove`", func(ctx context.Context, seq uint64) ([]byte, error) { return prover.Entry(ctx, storedLog, seq) }},
	} {
		random := rand.New(rand.NewPCG(7, 8))
		var took []time.Duration
		for n := range warmProofs + timedProofs {
			seq := random.Uint64N(s.entries)
			began := time.Now()
			proof, err := way.one(ctx, seq)
			if err != nil {
				return err
			}
			if n >= warmProofs {
				took = append(took, time.Since(began))
			}
			if opened, err := chain.OpenProof(proof, known); err != nil || opened.Header.Seq != seq {
				return fmt.Errorf("the proof of entry %d is not good: %w", seq, err)
			}
		}
		slices.Sort(took)
		at := func(percent int) string { return took[len(took)*percent/100].Round(10 * time.Microsecond).String() }
		s.table.add(way.name, "p50 "+at(50)+", p99 "+at(99), fmt.Sprintf("%d random entries, while the exporter checks the log again; load %s", timedProofs, load()))
	}
	return nil
}

// auditor makes proofs from what an exporter serves. It keeps nothing from one proof to the next.
type auditor struct {
	base  string
	known note.Verifiers
}

func (a *auditor) prove(ctx context.Context, seq uint64) ([]byte, error) {
	signed, err := a.read(ctx, "checkpoint")
	if err != nil {
		return nil, err
	}
	point, _, err := chain.OpenCheckpoint(signed, a.known)
	if err != nil {
		return nil, err
	}
	// Entry and tiles are asked for at the same time: each takes a query of the engine.
	group, ctx := errgroup.WithContext(ctx)
	var entry []byte
	group.Go(func() (err error) { // ends with the bundle or ctx
		entry, err = a.entry(ctx, seq, point.Size)
		return err
	})
	var inclusion tlog.RecordProof
	group.Go(func() (err error) { // ends with the tiles or ctx
		inclusion, err = chain.Inclusion(point.Size, point.Root, seq, auditorTiles{ctx, a})
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return chain.FormatProof(seq, entry, inclusion, signed), nil
}

// entry cuts an entry out of its bundle.
func (a *auditor) entry(ctx context.Context, seq, size uint64) ([]byte, error) {
	first := seq / chain.TileWidth * chain.TileWidth
	place := chain.TilePlace{Index: seq / chain.TileWidth, Width: int(min(chain.TileWidth, size-first))}
	bundle, err := a.read(ctx, place.EntriesPath())
	if err != nil {
		return nil, err
	}
	var entry []byte
	for range seq - first + 1 {
		if entry, bundle, err = chain.CutBundled(bundle); err != nil {
			return nil, err
		}
	}
	return entry, nil
}

func (a *auditor) read(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s is answered with %s", path, response.Status)
	}
	return io.ReadAll(response.Body)
}

// auditorTiles are the tiles for one proof.
type auditorTiles struct {
	ctx     context.Context //nolint:containedctx // tlog's interface has no room for it, and the reader lives as long as the call
	auditor *auditor
}

// Height implements tlog.TileReader.
func (auditorTiles) Height() int { return chain.TileHeight }

// ReadTiles implements tlog.TileReader.
func (r auditorTiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, t := range tiles {
		var err error
		if data[i], err = r.auditor.read(r.ctx, chain.TilePlace{Level: t.L, Index: uint64(t.N), Width: t.W}.Path()); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// SaveTiles implements tlog.TileReader. Nothing is kept.
func (auditorTiles) SaveTiles([]tlog.Tile, [][]byte) {}
