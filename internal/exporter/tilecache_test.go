package exporter

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

func TestTileCache(t *testing.T) {
	reads, fails := 0, false
	errRead := errors.New("not now")
	c := newTileCache(func(_ context.Context, log string, place chain.TilePlace) ([]byte, error) {
		reads++
		if fails {
			return nil, errRead
		}
		return []byte{log[0], byte(place.Level), byte(place.Index), byte(place.Width)}, nil
	})
	now := time.Unix(1_800_000_000, 0)
	c.now = func() time.Time { return now }
	f := func(log string, place chain.TilePlace, want int) {
		t.Helper()
		reads = 0
		hashes, err := c.tile(t.Context(), log, place)
		if err != nil || string(hashes) != string([]byte{log[0], byte(place.Level), byte(place.Index), byte(place.Width)}) {
			t.Fatalf("%s %+v: %v, %v", log, place, hashes, err)
		}
		if reads != want {
			t.Errorf("%s %+v: %d reads, want %d", log, place, reads, want)
		}
	}
	upper, edge, leaves := chain.TilePlace{Level: 1, Index: 3, Width: 256}, chain.TilePlace{Index: 9, Width: 17}, chain.TilePlace{Index: 3, Width: 256}
	for _, place := range []chain.TilePlace{upper, edge} {
		f("a", place, 1)
		f("a", place, 0)
		f("b", place, 1) // another log's
	}
	f("a", chain.TilePlace{Index: 9, Width: 18}, 1) // a later edge
	f("a", leaves, 1)
	f("a", leaves, 1) // never kept

	now = now.Add(tileCacheTime - time.Second)
	f("a", upper, 0)
	now = now.Add(time.Second)
	f("a", upper, 1)

	fails = true
	if _, err := c.tile(t.Context(), "c", upper); !errors.Is(err, errRead) {
		t.Errorf("%v", err)
	}
	fails = false
	f("c", upper, 1) // a failure is not kept

	// What is asked for again and again stays, whatever else comes by; memory is bounded.
	for i := range 5 * tileCacheTiles {
		f("a", upper, 0)
		f("d", chain.TilePlace{Level: 1, Index: uint64(i), Width: 200}, 1)
		if held := len(c.recent) + len(c.older); held > 2*tileCacheTiles {
			t.Fatalf("%d tiles are held", held)
		}
	}
}
