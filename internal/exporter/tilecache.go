package exporter

import (
	"context"
	"sync"
	"time"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

const (
	// tileCacheTiles is how many tiles one generation of the cache holds, of at most 8 KiB: those above 60 million entries. There are two generations.
	tileCacheTiles = 1024
	// tileCacheTime is how long a tile may be served from memory. A tile never changes, but one that was damaged in ClickHouse and repaired must not be
	// handed out for ever.
	tileCacheTime = time.Minute
)

// tileCache keeps tiles that every proof needs: those above the leaves, one for 65,536 entries, and those at the right edge. Tiles of leaf hashes that are full
// are not kept: there are too many of them for one to be asked for again.
type tileCache struct {
	read func(ctx context.Context, log string, place chain.TilePlace) ([]byte, error)
	now  func() time.Time

	mu            sync.Mutex
	recent, older map[cachedPlace]cachedTile // what is found in older goes to recent; a full recent becomes older
}

type cachedPlace struct {
	log   string
	place chain.TilePlace
}

type cachedTile struct {
	hashes []byte
	since  time.Time
}

func newTileCache(read func(ctx context.Context, log string, place chain.TilePlace) ([]byte, error)) *tileCache {
	return &tileCache{read: read, now: time.Now, recent: map[cachedPlace]cachedTile{}}
}

// tile returns the hashes of a tile, which the caller must not change.
func (c *tileCache) tile(ctx context.Context, log string, place chain.TilePlace) ([]byte, error) {
	if place.Level == 0 && place.Width == chain.TileWidth {
		return c.read(ctx, log, place)
	}
	key := cachedPlace{log, place}
	if hashes, ok := c.get(key); ok {
		return hashes, nil
	}
	// Several requests may read the same tile: that is no worse than without a cache.
	hashes, err := c.read(ctx, log, place)
	if err == nil {
		c.put(key, cachedTile{hashes, c.now()})
	}
	return hashes, err
}

func (c *tileCache) get(key cachedPlace) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tile, ok := c.recent[key]
	if !ok {
		if tile, ok = c.older[key]; ok {
			c.keep(key, tile)
		}
	}
	return tile.hashes, ok && c.now().Sub(tile.since) < tileCacheTime
}

func (c *tileCache) put(key cachedPlace, tile cachedTile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(key, tile)
}

// keep is called under the lock.
func (c *tileCache) keep(key cachedPlace, tile cachedTile) {
	if _, there := c.recent[key]; !there && len(c.recent) == tileCacheTiles {
		c.recent, c.older = make(map[cachedPlace]cachedTile, tileCacheTiles), c.recent
	}
	c.recent[key] = tile
}
