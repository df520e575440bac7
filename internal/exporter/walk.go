package exporter

import (
	"context"
	"fmt"

	"github.com/agentaudit/agentaudit/internal/walk"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// walk runs a verifier over what is behind its head, limit entries at most, and hands the leaf hash of each good one to each. more says that it ended at the
// limit.
func (e *Exporter) walk(ctx context.Context, verifier *chain.Verifier, limit uint64, each func(leaf chain.Hash) error) (more bool, err error) {
	w := e.newWalk(verifier, each)
	return w.Step(ctx, limit)
}

func (e *Exporter) newWalk(verifier *chain.Verifier, each func(leaf chain.Hash) error) *walk.Walk {
	return &walk.Walk{
		Scan: e.table.ScanLinks, Tiles: e.deps.Store.Tiles, Verifier: verifier,
		Each: func(_ uint64, _ []byte, leaf chain.Hash) error {
			e.metrics.checked.Inc()
			return each(leaf)
		},
	}
}

func fault(log string, seq uint64, format string, args ...any) error {
	return &chain.Fault{Log: log, Seq: seq, Reason: fmt.Sprintf(format, args...)}
}
