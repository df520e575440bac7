// Package auditor is the command line of agentaudit-verify. Like internal/offline it imports nothing that talks to a database or Kafka.
package auditor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/offline"
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
	reports, err := flags.Check(ctx, stderr)
	if err != nil {
		return fail(stderr, err)
	}
	good, err := Print(stdout, reports, flags.JSON)
	switch {
	case err != nil:
		return fail(stderr, err)
	case !good:
		return exitNo
	}
	return exitGood
}

func fail(stderr io.Writer, err error) int {
	_, _ = fmt.Fprintf(stderr, "agentaudit-verify: %s\n", strings.Join(strings.Fields(err.Error()), " "))
	return exitFailed
}

// Check checks the logs, one after the other, and shows progress on stderr.
func (q *Question) Check(ctx context.Context, stderr io.Writer) ([]offline.Report, error) {
	keys, err := verifiers(q.Key)
	if err != nil {
		return nil, err
	}
	var pinned [][]byte
	for _, path := range q.Checkpoint {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the checkpoint: %w", err)
		}
		pinned = append(pinned, chain.SplitCheckpoints(text)...)
	}
	at, logs, done, err := q.open()
	if err != nil {
		return nil, err
	}
	defer done()
	var checked atomic.Uint64
	defer showProgress(stderr, &checked)()
	var reports []offline.Report
	for _, log := range logs {
		if _, _, _, err := chain.ParseLog(log); err != nil {
			return nil, err
		}
		report, err := offline.Check(ctx, at(log), log, offline.Options{Keys: keys, Pinned: pinned, Progress: func(n uint64) { checked.Add(n) }})
		if err != nil {
			return nil, err
		}
		reports = append(reports, report)
	}
	return reports, nil
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

func verifiers(vkeys []string) (note.Verifiers, error) {
	var list []note.Verifier
	for i, vkey := range vkeys {
		verifier, err := note.NewVerifier(vkey)
		if err != nil {
			return nil, fmt.Errorf("key %d is not a public key of a note: <deployment>+<8 hex digits>+<base64> expected", i+1)
		}
		list = append(list, verifier)
	}
	return note.VerifierList(list...), nil
}

// progressEvery is how often a long check says how far it is.
const progressEvery = 2 * time.Second

func showProgress(w io.Writer, checked *atomic.Uint64) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() { // ends by stop
		defer close(ended)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = fmt.Fprintf(w, "%d entries checked …\n", checked.Load())
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}

// Print writes the reports, as 'agentaudit verify' does, and says whether all logs are good.
func Print(w io.Writer, reports []offline.Report, asJSON bool) (good bool, err error) {
	type bad struct {
		Seq    uint64 `json:"seq"`
		Reason string `json:"reason"`
	}
	type line struct {
		Log      string `json:"log"`
		Size     uint64 `json:"size"`
		Root     string `json:"root"`
		Head     string `json:"head"`
		FirstBad *bad   `json:"first_bad"`
	}
	result := struct {
		OK      bool   `json:"ok"`
		Entries uint64 `json:"entries"`
		Logs    []line `json:"logs"`
	}{OK: true}
	for _, r := range reports {
		one := line{Log: r.Log, Size: r.Size, Root: r.Root, Head: r.Head}
		if r.FirstBad != nil {
			one.FirstBad, result.OK = &bad{r.FirstBad.Seq, r.FirstBad.Reason}, false
		}
		result.Logs = append(result.Logs, one)
		result.Entries += r.Size
	}
	if asJSON {
		return result.OK, json.NewEncoder(w).Encode(result)
	}
	for _, r := range result.Logs {
		state := "good"
		if r.FirstBad != nil {
			state = fmt.Sprintf("BAD at seq %d: %s", r.FirstBad.Seq, r.FirstBad.Reason)
		}
		if _, err := fmt.Fprintf(w, "%-24s %12d entries  %s\n", r.Log, r.Size, state); err != nil {
			return false, err
		}
	}
	answer := "good"
	if !result.OK {
		answer = "BAD: see above"
	}
	_, err = fmt.Fprintf(w, "%d entries in %d logs: %s\n", result.Entries, len(result.Logs), answer)
	return result.OK, err
}
