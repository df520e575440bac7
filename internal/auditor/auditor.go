// Package auditor is the command line of agentaudit-verify. Like internal/offline it imports nothing that talks to a database or Kafka.
package auditor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/alecthomas/kong"
	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/offline"
	"github.com/agentaudit/agentaudit/internal/progress"
	"github.com/agentaudit/agentaudit/internal/report"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Exit codes, as those of agentaudit.
const (
	exitGood   = 0
	exitNo     = 1 // the answer is no
	exitFailed = 2 // it could not be found out
)

// Question says what to check.
type Question struct {
	Folder     string   `help:"Folder that 'agentaudit log export' has made." placeholder:"DIR" xor:"where" required:""`
	URL        string   `help:"Where an exporter serves logs, such as https://audit.example.org/log/." placeholder:"URL" xor:"where" required:""`
	Log        []string `help:"Check this log, such as agent.events/3; may be given again. Needed with --url; default: all of the folder." placeholder:"L" sep:"none"`
	Key        []string `required:"" help:"Public key of the deployment's checkpoints, got from elsewhere; may be given again." placeholder:"VKEY" sep:"none"`
	Checkpoint []string `help:"Signed checkpoints that were kept elsewhere; may be given again." placeholder:"FILE" sep:"none"`
	Witness    []string `help:"Public key of a witness that must have signed each --checkpoint; may be given again." placeholder:"VKEY" sep:"none"`
}

const description = `Checks logs of agentaudit with public keys alone: every entry and link, the tree over them, every tile, the signed checkpoint, and
that the log still has the entries of checkpoints that were kept elsewhere.

Exit codes: 0 good; 1 something is wrong, and the first bad place of each log is printed; 2 it could not be found out.`

// Main runs the command and returns its exit code. Errors are one line on stderr.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var flags struct {
		Question
		JSON    bool             `help:"Print the result as JSON."`
		Version kong.VersionFlag `help:"Print the version and end."`
	}
	version := "unknown"
	if build, ok := debug.ReadBuildInfo(); ok {
		version = build.Main.Version
	}
	ended, code := false, exitGood
	parser, err := kong.New(&flags, kong.Name("agentaudit-verify"), kong.Description(description), kong.Writers(stdout, stderr),
		kong.Exit(func(with int) { ended, code = true, with }), kong.Vars{"version": version})
	if err != nil {
		return fail(stderr, err)
	}
	_, err = parser.Parse(args)
	switch {
	case ended:
		return code
	case err != nil:
		return fail(stderr, fmt.Errorf("%w (see --help)", err))
	}
	answer, err := flags.Check(ctx, stderr)
	if err != nil {
		return fail(stderr, err)
	}
	if flags.JSON {
		err = answer.WriteJSON(stdout)
	} else {
		err = answer.WriteText(stdout, Good)
	}
	switch {
	case err != nil:
		return fail(stderr, err)
	case !answer.OK:
		return exitNo
	}
	return exitGood
}

// Good is how a report says that logs are what their checkpoints say.
const Good = "good"

func fail(stderr io.Writer, err error) int {
	_, _ = fmt.Fprintf(stderr, "agentaudit-verify: %s\n", strings.Join(strings.Fields(err.Error()), " "))
	return exitFailed
}

// Check checks the logs, one after the other, and shows progress on stderr.
func (q *Question) Check(ctx context.Context, stderr io.Writer) (report.Report, error) {
	keys, err := logkeys.Verifiers(q.Key)
	if err != nil {
		return report.Report{}, err
	}
	pinned, err := ReadCheckpoints(q.Checkpoint, q.Witness)
	if err != nil {
		return report.Report{}, err
	}
	at, logs, done, err := q.open()
	if err != nil {
		return report.Report{}, err
	}
	defer done()
	var checked atomic.Uint64
	defer progress.Show(stderr, "%d entries checked …\n", &checked)()
	var answers []report.Log
	for _, log := range logs {
		if _, _, _, err := chain.ParseLog(log); err != nil {
			return report.Report{}, err
		}
		found, err := offline.Check(ctx, at(log), log, offline.Options{Keys: keys, Pinned: pinned, Progress: func(n uint64) { checked.Add(n) }})
		if err != nil {
			return report.Report{}, err
		}
		one := report.Log{Log: found.Log, Size: found.Size, Root: found.Root, Head: found.Head}
		if found.Pruned != nil {
			one.Pruned = &report.Gap{From: chain.PrunedFrom, Behind: found.Pruned.Behind}
		}
		if bad := found.FirstBad; bad != nil {
			one.FirstBad = &report.Bad{Seq: bad.Seq, Reason: bad.Reason}
		}
		answers = append(answers, one)
	}
	if len(q.Log) == 0 {
		lost, err := missing(logs, pinned, keys)
		if err != nil {
			return report.Report{}, err
		}
		answers = append(answers, lost...)
	}
	return report.Of(answers), nil
}

// missing are the logs of which a checkpoint was kept, but which are not among those of a folder: whoever takes a log out of it as a whole would go unnoticed.
func missing(logs []string, pinned [][]byte, keys note.Verifiers) ([]report.Log, error) {
	var lost []report.Log
	for i, signed := range pinned {
		point, _, err := chain.OpenCheckpoint(signed, keys)
		if err != nil {
			return nil, fmt.Errorf("checkpoint %d of those given: %w", i+1, err)
		}
		if !slices.Contains(logs, point.Log) {
			lost = append(lost, report.Log{Log: point.Log, FirstBad: &report.Bad{Reason: fmt.Sprintf("the log is missing, but a checkpoint that was kept has %d entries", point.Size)}})
			logs = append(slices.Clip(logs), point.Log) // said once
		}
	}
	return lost, nil
}

// ReadCheckpoints reads files of one checkpoint or more, as 'agentaudit checkpoint' prints them. A file without any is refused: whoever names it would believe
// that something was held against it. So are keys of witnesses without a checkpoint, and a checkpoint that one of the witnesses has not signed.
func ReadCheckpoints(paths, witnesses []string) ([][]byte, error) {
	known, err := chain.ParseWitnesses(witnesses)
	if err != nil {
		return nil, err
	}
	if len(known) > 0 && len(paths) == 0 {
		return nil, errors.New("--witness: give what the witness must have signed with --checkpoint")
	}
	var all [][]byte
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the checkpoint: %w", err)
		}
		points := chain.SplitCheckpoints(text)
		if len(points) == 0 {
			return nil, fmt.Errorf("%s has no checkpoint in it", path)
		}
		for i, signed := range points {
			if _, err := chain.ReadCheckpoint(signed); err != nil {
				return nil, fmt.Errorf("%s is not what 'agentaudit checkpoint' prints, at checkpoint %d of it: %w", path, i+1, err)
			}
			if err := known.Check(signed); err != nil {
				return nil, fmt.Errorf("checkpoint %d of %s: %w", i+1, path, err)
			}
		}
		all = append(all, points...)
	}
	return all, nil
}

// open opens the folder or the server, and says which logs are to be checked.
func (q *Question) open() (at func(log string) offline.Source, logs []string, done func(), err error) {
	if q.Folder == "" {
		server, err := offline.NewServer(q.URL)
		if err != nil {
			return nil, nil, nil, err
		}
		if len(q.Log) == 0 {
			return nil, nil, nil, errors.New("which log? Give --log, such as agent.events/0: a server does not list them")
		}
		return server.Log, q.Log, func() { _ = server.Close() }, nil
	}
	folder, err := offline.OpenFolder(q.Folder)
	if err != nil {
		return nil, nil, nil, err
	}
	done = func() { _ = folder.Close() } // nothing was written
	logs = q.Log
	if len(logs) == 0 {
		if logs, err = folder.Logs(); err == nil && len(logs) == 0 {
			err = fmt.Errorf("%s has no log with a checkpoint in it", q.Folder)
		}
	}
	if err != nil {
		done()
		return nil, nil, nil, err
	}
	return folder.Log, logs, done, nil
}
