package exporter

import (
	"context"
	"errors"
	"fmt"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// errEnough ends a scan early.
var errEnough = errors.New("enough entries for one step")

// walk runs a verifier over what is behind its head, limit entries at most, and hands the leaf hash of each good one to each. more says that it ended at the
// limit. The scan begins with the head's own entry: if that is gone or another one, so is what was vouched for, and a second one beside it is a double.
//
// One scan is bounded by the time of a query, so long logs are walked in steps.
func (e *Exporter) walk(ctx context.Context, verifier *chain.Verifier, limit uint64, each func(leaf chain.Hash) error) (more bool, err error) {
	head, hasher := verifier.Head(), chain.NewHasher()
	anchored := head.Size == 0
	checked := uint64(0)
	defer func() { e.metrics.checked.Add(float64(checked)) }()
	err = e.deps.Store.Scan(ctx, head.Log, max(head.Size, 1)-1, func(seq uint64, entry []byte, leaf chain.Hash) error {
		if !anchored {
			if seq != head.Size-1 {
				return missing(head)
			}
			if leaf != head.Leaf || hasher.Leaf(entry) != head.Leaf {
				return fault(head.Log, seq, "no longer the entry that was checked")
			}
			anchored = true
			return nil
		}
		if checked == limit {
			return errEnough
		}
		if err := verifier.Check(seq, entry, leaf); err != nil {
			return err
		}
		checked++
		return each(leaf)
	})
	switch {
	case errors.Is(err, errEnough):
		return true, nil
	case err == nil && !anchored:
		return false, missing(head)
	}
	return false, err
}

func missing(head chain.Head) error {
	return fault(head.Log, head.Size-1, "missing, but %d entries were checked before", head.Size)
}

func fault(log string, seq uint64, format string, args ...any) error {
	return &chain.Fault{Log: log, Seq: seq, Reason: fmt.Sprintf(format, args...)}
}
