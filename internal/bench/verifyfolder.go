package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"k8s.io/klog/v2"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// folderRounds is how often a folder is verified, by us and by Tessera in turns.
const folderRounds = 3

// verifyFolder measures `agentaudit verify --folder` over a log of so many entries,
// and Tessera's fsck over the same files.
func verifyFolder(ctx context.Context, bin string, entries uint64, t *table) (err error) {
	dir, err := os.MkdirTemp("", "agentaudit-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	name := fmt.Sprintf("verify --folder, %d entries", entries)
	fmt.Fprintf(os.Stderr, "%s: preparing …\n", name)
	folder, err := makeFolder(dir, entries)
	if err != nil {
		return err
	}
	before := speed()
	var ours, theirs, limits, costs []float64
	var peak int64
	quietFsck()
	for round := range folderRounds {
		fmt.Fprintf(os.Stderr, "%s: round %d of %d …\n", name, round+1, folderRounds)
		perSecond, cost, memory, err := folder.verify(ctx, bin)
		if err != nil {
			return err
		}
		ours, costs, peak = append(ours, perSecond), append(costs, cost.Seconds()/(float64(entries)/1e6)), max(peak, memory)
		if perSecond, err = folder.fsck(ctx); err != nil {
			return err
		}
		theirs, limits = append(theirs, perSecond), append(limits, leafLimit())
	}
	after := speed()
	t.add(name, rates(ours), fmt.Sprintf("%.2f s CPU per million, peak memory %d MB; load %s", median(costs), peak>>20, load()))
	t.add("  Tessera v1.0.4 fsck, same folder", rates(theirs), fmt.Sprintf("verify is %.1f times as fast (medians)", median(ours)/median(theirs)))
	t.add("  leaf hashes alone, 2 goroutines", rates(limits), fmt.Sprintf("verify reaches %.0f %% of it (medians)", 100*median(ours)/median(limits)))
	t.add("", "", speedNote(before, after))
	return nil
}

// verify runs the program as a user would. It returns entries per second, from start to
// end of the process, its processor time, and the most memory that it was seen to have.
func (f *exported) verify(ctx context.Context, bin string) (perSecond float64, cost time.Duration, peak int64, err error) {
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "agentaudit"), "verify", "--folder", f.dir, "--key", f.vkey, "--json")
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the program
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-tick.C:
			if seen, err := peakMemory(cmd.Process.Pid); err == nil { // it may just have ended
				peak = max(peak, seen)
			}
		case err = <-ended:
			running = false
		}
	}
	took := time.Since(began)
	if err != nil {
		return 0, 0, 0, fmt.Errorf("%s: %w\n%s%s", cmd, err, &out, &problems)
	}
	var report struct {
		OK      bool
		Entries uint64
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return 0, 0, 0, err
	}
	if !report.OK || report.Entries != f.entries {
		return 0, 0, 0, fmt.Errorf("%s: %s", cmd, &out)
	}
	return float64(f.entries) / took.Seconds(), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), peak, nil
}

// fsckWorkers is how many goroutines Tessera has for files. With two it is slower.
const fsckWorkers = 16

// quietFsck keeps Tessera's log out of the table.
func quietFsck() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
}

// fsck has Tessera check the same.
func (f *exported) fsck(ctx context.Context) (perSecond float64, err error) {
	key, err := note.NewVerifier(f.vkey)
	if err != nil {
		return 0, err
	}
	hasher := chain.NewHasher() // fsck hashes in one goroutine
	leaves := func(bundle []byte) ([][]byte, error) {
		hashes := make([][]byte, 0, chain.TileWidth)
		for len(bundle) > 0 {
			entry, rest, err := chain.CutBundled(bundle)
			if err != nil {
				return nil, err
			}
			leaf := hasher.Leaf(entry)
			hashes, bundle = append(hashes, leaf[:]), rest
		}
		return hashes, nil
	}
	files := client.FileFetcher{Root: filepath.Join(f.dir, filepath.FromSlash(benchLog))}
	began := time.Now()
	err = fsck.New(chain.Origin(benchDeployment, benchLog), key, files, leaves, fsck.Opts{N: fsckWorkers}).Check(ctx)
	return float64(f.entries) / time.Since(began).Seconds(), err
}

// leafLimit is how many leaves a second two goroutines hash that do nothing else.
func leafLimit() float64 {
	const each, rounds = 4096, 200
	m := newLogMaker(benchLog)
	entries := make([][]byte, each)
	for i := range entries {
		m.event()
		entries[i] = bytes.Clone(m.entry)
	}
	const workers = 2
	began := time.Now()
	var group sync.WaitGroup
	for range workers {
		group.Go(func() { // ends after its rounds
			hasher := chain.NewHasher()
			for range rounds {
				for _, entry := range entries {
					hasher.Leaf(entry)
				}
			}
		})
	}
	group.Wait()
	return workers * each * rounds / time.Since(began).Seconds()
}

func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[len(sorted)/2]
}

// rates writes the median and the best of several runs.
func rates(perSecond []float64) string {
	return fmt.Sprintf("%.2f M/s, best %.2f", median(perSecond)/1e6, slices.Max(perSecond)/1e6)
}
