package exporter

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"

	"github.com/agentaudit/agentaudit/internal/problem"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/witness"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// logPrefix is the path below which each log is served (C2SP tlog-tiles).
const logPrefix = "/log/"

// Handler serves the logs: /log/<topic>/<partition>/checkpoint, …/witnessed (the newest that witnesses have signed), …/pruned (the record of what was dropped),
// …/tile/<level>/<index>[.p/<width>] and …/tile/entries/<index>[.p/<width>]. Nothing behind the latest checkpoint is served. What a client reads it checks itself:
// the handler hands out what the store has.
func (e *Exporter) Handler() http.Handler {
	mux := http.NewServeMux()
	s := &logServer{exporter: e, tiles: newTileCache(e.deps.Store.TileHashes), sizes: map[string]uint64{}}
	mux.Handle("GET "+logPrefix, http.StripPrefix(logPrefix, http.HandlerFunc(s.serve)))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			problem.Write(w, http.StatusMethodNotAllowed, "only GET is answered here")
			return
		}
		problem.Write(w, http.StatusNotFound, "there is nothing here; logs are below "+logPrefix)
	})
	return mux
}

// logServer remembers how large each log is at least, so that most tiles are served without asking the vault.
type logServer struct {
	exporter *Exporter
	tiles    *tileCache

	mu    sync.Mutex
	sizes map[string]uint64 // of checkpoints that were seen, by log
}

func (s *logServer) serve(w http.ResponseWriter, r *http.Request) {
	if !s.exporter.cfg.PublicTiles {
		problem.Write(w, http.StatusForbidden, "logs are not served to everybody here: exporter.public_tiles is off")
		return
	}
	log, what, err := chain.CutLogPath(r.URL.Path)
	if err != nil {
		problem.Write(w, http.StatusNotFound, err.Error())
		return
	}
	switch what {
	case "checkpoint":
		s.serveCheckpoint(w, r, log)
		return
	case "witnessed":
		s.serveWitnessed(w, r, log)
		return
	case chain.PrunedPath:
		s.servePruned(w, r, log)
		return
	}
	place, entries, err := chain.ParseTilePath(what)
	if err != nil {
		problem.Write(w, http.StatusNotFound, err.Error())
		return
	}
	s.serveTile(w, r, log, place, entries)
}

func (s *logServer) serveCheckpoint(w http.ResponseWriter, r *http.Request, log string) {
	checkpoint, found, err := s.exporter.deps.Vault.Checkpoint(r.Context(), log)
	switch {
	case err != nil:
		s.unavailable(w, r, err)
		return
	case !found:
		problem.Write(w, http.StatusNotFound, "there is no checkpoint of this log")
		return
	}
	s.grown(log, checkpoint.Size)
	writeNote(w, []byte(checkpoint.Note))
}

// serveWitnessed answers with the newest checkpoint that any witness has signed, and the cosignatures of all that have signed it.
func (s *logServer) serveWitnessed(w http.ResponseWriter, r *http.Request, log string) {
	kept, err := s.exporter.deps.Vault.Cosigned(r.Context(), log)
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	newest := witness.Newest(kept)
	if newest == nil {
		problem.Write(w, http.StatusNotFound, "no witness has signed a checkpoint of this log")
		return
	}
	writeNote(w, newest)
}

// writeNote answers with a checkpoint, or a prune record.
func writeNote(w http.ResponseWriter, note []byte) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	// A checkpoint moves every second: one from a cache would hide that.
	w.Header().Set("Cache-Control", "no-cache")
	write(w, note)
}

// servePruned serves the signed record of what was dropped of a log.
func (s *logServer) servePruned(w http.ResponseWriter, r *http.Request, log string) {
	pruned, _, err := s.exporter.deps.Vault.LatestPrunes(r.Context(), log)
	switch {
	case err != nil:
		s.unavailable(w, r, err)
		return
	case pruned == nil:
		problem.Write(w, http.StatusNotFound, "nothing was pruned of this log")
		return
	}
	writeNote(w, []byte(pruned.Note))
}

func (s *logServer) serveTile(w http.ResponseWriter, r *http.Request, log string, place chain.TilePlace, entries bool) {
	covered, err := s.covers(r.Context(), log, place)
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	if !covered {
		problem.Write(w, http.StatusNotFound, "the log's checkpoint does not cover this tile")
		return
	}
	var body []byte
	if entries {
		body, err = s.exporter.deps.Store.Bundle(r.Context(), log, place.Index*chain.TileWidth, place.Width)
	} else {
		body, err = s.tiles.tile(r.Context(), log, place)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		problem.Write(w, http.StatusNotFound, "this tile is not there")
		return
	case err != nil:
		s.unavailable(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	// Entries are never changed, so neither is a tile of any width.
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	write(w, body)
}

// covers says whether the log's checkpoint covers a tile.
func (s *logServer) covers(ctx context.Context, log string, place chain.TilePlace) (bool, error) {
	s.mu.Lock()
	known := s.sizes[log]
	s.mu.Unlock()
	if place.Within(known) {
		return true, nil
	}
	checkpoint, _, err := s.exporter.deps.Vault.Checkpoint(ctx, log)
	if err != nil {
		return false, err
	}
	if checkpoint.Size > 0 {
		s.grown(log, checkpoint.Size)
	}
	return place.Within(checkpoint.Size), nil
}

func (s *logServer) grown(log string, size uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes[log] = max(s.sizes[log], size)
}

// unavailable answers that a system behind us does not. The reason is for our log: it may name hosts.
func (s *logServer) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // nobody waits for the answer
	}
	s.exporter.failing("a request cannot be answered", err, "path", r.URL.Path)
	w.Header().Set("Retry-After", "1")
	problem.Write(w, http.StatusServiceUnavailable, "the log cannot be read at the moment, try again")
}

func write(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(body) //nolint:gosec // bytes of a tile under nosniff, no page; an error means that the client has gone
}
