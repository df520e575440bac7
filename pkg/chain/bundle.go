package chain

import (
	"errors"
	"fmt"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// AppendBundled appends an entry to a bundle: its length in two bytes, big-endian, and its bytes (C2SP tlog-tiles).
func AppendBundled(bundle, entry []byte) ([]byte, error) {
	return torchwood.AppendTileEntry(bundle, entry)
}

// CutBundled takes the first entry off a bundle.
func CutBundled(bundle []byte) (entry, rest []byte, err error) {
	return torchwood.ReadTileEntry(bundle)
}

var errTilePath = errors.New("not the path of a tile: tile/<level>/<index>[.p/<width>] or tile/entries/<index>[.p/<width>] expected")

// ParseTilePath reads the path of a tile, or of a bundle of entries, below a log (C2SP tlog-tiles). Only the one spelling of each is a path.
func ParseTilePath(path string) (place TilePlace, entries bool, err error) {
	tile, err := torchwood.ParseTilePath(path)
	if err != nil || tile.L > maxTileLevel || torchwood.TilePath(tile) != path {
		return TilePlace{}, false, errTilePath
	}
	place = TilePlace{Level: tile.L, Index: uint64(tile.N), Width: tile.W}
	if entries = tile.L == -1; entries {
		place.Level = 0
	}
	return place, entries, nil
}

// Path returns the path of the tile below its log.
func (p TilePlace) Path() string {
	return torchwood.TilePath(tlog.Tile{H: TileHeight, L: p.Level, N: int64(p.Index), W: p.Width})
}

// EntriesPath returns the path of the bundle of the entries below the tile, which is at level 0.
func (p TilePlace) EntriesPath() string {
	return torchwood.TilePath(tlog.Tile{H: TileHeight, L: -1, N: int64(p.Index), W: p.Width})
}

// CutLogPath parts the path of what is served about a log, `<topic>/<partition>/<what>`, into the log's name and what of it.
func CutLogPath(path string) (log, what string, err error) {
	topic, rest, _ := strings.Cut(path, "/")
	place, what, found := strings.Cut(rest, "/")
	log = topic + "/" + place
	if _, _, _, err := ParseLog(log); err != nil || !found {
		return "", "", fmt.Errorf("not the path of a log: <topic>/<partition>/… expected")
	}
	return log, what, nil
}
