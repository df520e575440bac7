package store

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// TileReader returns a log's tiles as golang.org/x/mod/sumdb/tlog reads them, for as long as ctx lasts.
func (s *Store) TileReader(ctx context.Context, log string) tlog.TileReader {
	return tileReader{ctx, s, log}
}

type tileReader struct {
	ctx   context.Context //nolint:containedctx // tlog's interface has no room for it, and the reader lives as long as the call
	store *Store
	log   string
}

// Height implements tlog.TileReader.
func (tileReader) Height() int { return chain.TileHeight }

// tilesAtATime bounds the queries of one proof, which has four to eight tiles: each takes the engine a few milliseconds, most of them of waiting.
const tilesAtATime = 4

// ReadTiles implements tlog.TileReader.
func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	group, ctx := errgroup.WithContext(r.ctx)
	group.SetLimit(tilesAtATime)
	for i, t := range tiles {
		group.Go(func() (err error) { // ends with the query or ctx
			data[i], err = r.store.TileHashes(ctx, r.log, chain.TilePlace{Level: t.L, Index: uint64(t.N), Width: t.W})
			return err
		})
	}
	return data, group.Wait()
}

// SaveTiles implements tlog.TileReader. The store has them.
func (tileReader) SaveTiles([]tlog.Tile, [][]byte) {}
