// Package cli is the command line, `agentaudit`: what each command takes and prints.
// What a command does is in the package that it calls.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/agentaudit/agentaudit/internal/config"
	"golang.org/x/term"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/up"
)

const description = `The audit trail for AI agents: every event exactly once, in a log that can be checked.

Exit codes: 0 good; 1 the answer is no, such as a broken chain; 2 it could not be done.`

// commands is the command line. Its tags are what --help prints.
type commands struct {
	process.Flags

	Up          upCommand          `cmd:"" help:"Run everything on this machine."`
	Emit        emitCommand        `cmd:"" help:"Send events to Kafka."`
	Verify      verifyCommand      `cmd:"" help:"Check every entry and link."`
	Checkpoint  checkpointCommand  `cmd:"" help:"Print the latest signed checkpoints."`
	Prove       proveCommand       `cmd:"" help:"Prove that an event stands in a log."`
	VerifyProof verifyProofCommand `cmd:"" help:"Check a proof, without any server."`
	Query       queryCommand       `cmd:"" help:"Run read-only SQL."`
	Events      eventsCommand      `cmd:"" help:"Find events of people."`
	Scan        scanCommand        `cmd:"" help:"Look for injections, secrets and personal data in texts."`
	Alerts      alertsCommands     `cmd:"" help:"Alerts: list (also without a word), acknowledge, snooze, false-positive, suppress, unsuppress, rules."`
	Backtest    backtestCommand    `cmd:"" help:"Print what would have been alerted over events of the past."`
	ScoreSeries scoreSeriesCommand `cmd:"" help:"Score every value of series in files."`
	Log         struct {
		List   logListCommand   `cmd:"" help:"List the logs and their heads."`
		Export logExportCommand `cmd:"" help:"Write logs to a folder that can be checked anywhere."`
		Prune  logPruneCommand  `cmd:"" help:"Drop whole months, behind a signed record of them."`
		Reopen logReopenCommand `cmd:"" help:"Go on after a gap, a rewind or a rollback: end a log and begin its successor."`
		Tiles  logTilesCommand  `cmd:"" help:"Check the stored tiles of a log against its entries, and mend them."`
	} `cmd:"" help:"Logs: list, export, prune, reopen, tiles."`
	Gdpr  gdprCommands `cmd:"" help:"People's requests: export, erase, status, list, verify, cancel, hold, restrict, unrestrict, consent, breach."`
	Vault struct {
		List   vaultListCommand   `cmd:"" help:"Print the generations of the key-encryption key."`
		Check  vaultCheckCommand  `cmd:"" help:"Name the rows that were written by somebody without the keyring."`
		Rotate vaultRotateCommand `cmd:"" help:"Replace the key-encryption key, so that old backups of the vault die."`
	} `cmd:"" help:"The vault's key-encryption key: list, check, rotate."`
	Apikey apikeyCommands `cmd:"" help:"Keys of those who ask over HTTP: add, list, revoke."`
	Setup  setupCommand   `cmd:"" help:"Make topics and tables, and bring tables up to date."`
	Keys   struct {
		Create       keysCreateCommand       `cmd:"" help:"Make the keyring."`
		CreateAuthor keysCreateAuthorCommand `cmd:"" help:"Make the key that signs a process's own records."`
		List         keysListCommand         `cmd:"" help:"Print the public keys of checkpoints."`
		Rotate       keysRotateCommand       `cmd:"" help:"Replace the key that signs checkpoints."`
	} `cmd:"" help:"Keys: create, create-author, list, rotate."`
	Engine struct {
		Fetch engineFetchCommand `cmd:"" help:"Fetch the embedded ClickHouse engine into the cache and check its digest."`
	} `cmd:"" help:"The embedded ClickHouse engine: fetch."`
	Healthcheck healthcheckCommand `cmd:"" help:"Ask a process whether it is ready."`
	PrintConfig configCommand      `cmd:"" name:"config" help:"Print the configuration that is in effect, without its secrets."`
	Version     versionCommand     `cmd:"" help:"Print the version."`

	BrokerChild brokerChildCommand `cmd:"" hidden:""`
	EngineChild engineChildCommand `cmd:"" hidden:""`
	SampleChild sampleChildCommand `cmd:"" hidden:""`
}

// world is what a command works with, besides its own flags.
type world struct {
	flags   process.Flags
	environ []string
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
}

// atTerminal says whether somebody can be asked.
func (w *world) atTerminal() bool {
	file, ok := w.stdin.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// config loads the configuration that --data or --config names.
func (w *world) config() (config.Config, error) { return w.flags.Load(w.environ) }

// open opens the outside systems.
func (w *world) open(ctx context.Context) (*process.Systems, error) {
	cfg, err := w.config()
	if err != nil {
		return nil, err
	}
	systems, err := process.Open(ctx, cfg, kafkaio.Deps{})
	return systems, w.running(err)
}

// running explains why nobody answers when nothing runs on the folder of --data.
func (w *world) running(err error) error {
	if err == nil || w.flags.Data == "" {
		return err
	}
	if _, missing := os.Stat(filepath.Join(w.flags.Data, up.EndpointsFile)); errors.Is(missing, fs.ErrNotExist) {
		return fmt.Errorf("nothing runs on %[1]s: start it with 'agentaudit up --data %[1]s' (%[2]w)", w.flags.Data, err)
	}
	return err
}

// errNo is the end of a command whose answer is no. What is to be said was printed.
var errNo = errors.New("no")

// Main runs one command and returns its exit code. Errors are one line on stderr.
func Main(args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c commands
	parsed, code, done := process.ParseCommand("agentaudit", description, &c, args, stdout, stderr)
	if done {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// From the first signal on a second one ends the program at once.
	context.AfterFunc(ctx, stop)

	parsed.BindTo(ctx, (*context.Context)(nil))
	err := parsed.Run(&world{flags: c.Flags, environ: environ, stdin: stdin, stdout: stdout, stderr: stderr})
	var child *childError
	switch {
	case err == nil:
		return process.ExitGood
	case errors.Is(err, errNo):
		return process.ExitNo
	case errors.As(err, &child):
		process.Fail(stderr, "agentaudit", err)
		return process.ExitNo
	case ctx.Err() != nil:
		return process.Fail(stderr, "agentaudit", fmt.Errorf("interrupted: %w", err))
	}
	return process.Fail(stderr, "agentaudit", err)
}
