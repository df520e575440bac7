package exporter

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// served is a log as others see it: by HTTP alone.
type served struct {
	base   string // of the log
	origin string
	key    note.Verifier
	client *http.Client
}

func (r *rig) serve(p *process, log string) *served {
	r.t.Helper()
	server := httptest.NewServer(p.Handler())
	r.t.Cleanup(server.Close)
	folder, err := r.loadKeys()
	if err != nil {
		r.t.Fatal(err)
	}
	key, err := note.NewVerifier(folder.VKeys()[0])
	if err != nil {
		r.t.Fatal(err)
	}
	return &served{base: server.URL + logPrefix + log + "/", origin: chain.Origin("test", log), key: key, client: server.Client()}
}

// fsck has Tessera check the whole log: every entry, tile and the checkpoint.
func (s *served) fsck(ctx context.Context) error {
	root, err := url.Parse(s.base)
	if err != nil {
		return err
	}
	fetcher, err := client.NewHTTPFetcher(root, s.client)
	if err != nil {
		return err
	}
	// Without the leaf prefix of RFC 6962 Tessera would have its own hasher do the same.
	leaves := func(bundle []byte) ([][]byte, error) {
		var hashes [][]byte
		for len(bundle) > 0 {
			entry, rest, err := chain.CutBundled(bundle)
			if err != nil {
				return nil, err
			}
			leaf := chain.LeafHash(entry)
			hashes, bundle = append(hashes, leaf[:]), rest
		}
		return hashes, nil
	}
	// It waits for ever for workers that have met an error, unless there are many and a deadline.
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return fsck.New(s.origin, s.key, fetcher, leaves, fsck.Opts{N: 16}).Check(ctx)
}

// read has torchwood read all entries, and returns how many there are.
func (s *served) read(ctx context.Context) (entries int64, err error) {
	fetcher, err := torchwood.NewTileFetcher(s.base, torchwood.WithHTTPClient(s.client))
	if err != nil {
		return 0, err
	}
	signed, err := fetcher.ReadEndpoint(ctx, "checkpoint")
	if err != nil {
		return 0, err
	}
	policy := torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(s.origin), torchwood.SingleVerifierPolicy(s.key))
	checkpoint, _, err := torchwood.VerifyCheckpoint(signed, policy)
	if err != nil {
		return 0, err
	}
	reader, err := torchwood.NewClient(fetcher, torchwood.WithTimeout(20*time.Second))
	if err != nil {
		return 0, err
	}
	for range reader.AllEntries(ctx, checkpoint.Tree, 0) {
		entries++
	}
	if reader.Err() != nil {
		return entries, reader.Err()
	}
	if entries != checkpoint.N {
		return entries, context.DeadlineExceeded
	}
	_, _, err = reader.Entry(ctx, tlog.Tree{N: checkpoint.N, Hash: checkpoint.Hash}, checkpoint.N/2)
	return entries, err
}

// The log as it is served is accepted by code that is not ours, and refused by it once anything was changed.
func TestIndependentVerifiers(t *testing.T) {
	const log = "agent.events/0"
	for _, test := range []struct {
		name, statement string
	}{
		{"untouched", ""},
		{"an entry was changed", "ALTER TABLE {events} UPDATE entry = replaceOne(entry, 'not JSON', 'not json') WHERE log = '" + log + "' AND seq = 300 SETTINGS mutations_sync = 2"},
		{"an entry was removed", "ALTER TABLE {events} DELETE WHERE log = '" + log + "' AND seq = 300 SETTINGS mutations_sync = 2"},
		{"an entry of the last tile was changed", "ALTER TABLE {events} UPDATE entry = replaceOne(entry, 'not JSON', 'not json') WHERE log = '" + log + "' AND seq = 999 SETTINGS mutations_sync = 2"},
		{"a tile was changed", "ALTER TABLE {tiles} UPDATE root = reverse(root) WHERE log = '" + log + "' AND level = 0 AND tile = 1 SETTINGS mutations_sync = 2"},
		{"a tile was removed", "ALTER TABLE {tiles} DELETE WHERE log = '" + log + "' AND level = 0 AND tile = 1 SETTINGS mutations_sync = 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			r.cfg.PublicTiles = true
			l := r.newLog(log, 999)
			p := r.start()
			r.awaitSigned(l)
			p.stop() // it would raise the alarm itself
			s := r.serve(p, log)
			if test.statement != "" {
				r.exec(test.statement)
			}
			fsckErr := s.fsck(t.Context())
			entries, readErr := s.read(t.Context())
			if test.statement == "" {
				if fsckErr != nil || readErr != nil || entries != int64(l.head.Size) {
					t.Errorf("tessera: %v; torchwood: %d entries, %v", fsckErr, entries, readErr)
				}
				return
			}
			if fsckErr == nil {
				t.Error("tessera finds nothing wrong")
			}
			if readErr == nil {
				t.Error("torchwood finds nothing wrong")
			}
		})
	}
	t.Run("another key", func(t *testing.T) {
		r := newRig(t)
		r.cfg.PublicTiles = true
		l := r.newLog(log, 300)
		p := r.start()
		r.awaitSigned(l)
		p.stop()
		s := r.serve(p, log)
		_, public, err := note.GenerateKey(strings.NewReader(strings.Repeat("x", 64)), "test")
		if err != nil {
			t.Fatal(err)
		}
		if s.key, err = note.NewVerifier(public); err != nil {
			t.Fatal(err)
		}
		if err := s.fsck(t.Context()); err == nil {
			t.Error("tessera accepts a signature of another key")
		}
		if _, err := s.read(t.Context()); err == nil {
			t.Error("torchwood accepts a signature of another key")
		}
	})
}
