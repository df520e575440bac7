package privacy

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/agentaudit/agentaudit/internal/archive"
	"github.com/agentaudit/agentaudit/internal/durable"
	"github.com/agentaudit/agentaudit/internal/telemetry"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// An export is an archive of everything about a person, in a file of exporter.export_dir that is encrypted as it is written: for the recipient whom the request
// names, or else under a secret that only the vault has. Each attempt has a row in the vault before it has a file, and a secret and a file name of its own. So
// whatever ends a process, at most one file counts, and keepExports removes all others.

// ExportResult is the result of a completed export.
type ExportResult struct {
	RequestID    string `json:"request_id"`
	Status       string `json:"status"`
	Events       uint64 `json:"events"`
	Files        int    `json:"files"`
	ForRecipient bool   `json:"for_recipient"` // encrypted for the recipient whom the request has named: nobody else opens it
	Expires      string `json:"expires"`       // when it is removed, RFC 3339
}

// ResultOfExport reads the result of a completed export.
func ResultOfExport(request *vault.Request) (ExportResult, error) {
	var r ExportResult
	err := json.Unmarshal([]byte(request.Result), &r)
	return r, err
}

const (
	// noteEvery is how often the vault is told how far an export is, and asked whether it still counts: that is how long one of somebody who is erased goes on.
	noteEvery = 250 * time.Millisecond
	// exportAgain is how long an export waits that was interrupted: it begins anew, and there may be much of it.
	exportAgain = 10 * time.Second
	// maxRecipientBytes bounds a recipient: a hybrid one has 1959.
	maxRecipientBytes = 4096
)

// errOvertaken: another process works at the request by now, or it has ended.
var errOvertaken = errors.New("another process is at work on the request")

// ParseRecipient reads the public key of somebody for whom an export is to be encrypted, as age writes them: age1…
func ParseRecipient(text string) (age.Recipient, error) {
	var recipient age.Recipient
	err := errors.New("too long")
	switch {
	case len(text) > maxRecipientBytes:
	case strings.HasPrefix(text, "age1pq1"):
		recipient, err = age.ParseHybridRecipient(text)
	default:
		recipient, err = age.ParseX25519Recipient(text)
	}
	if err != nil {
		return nil, errors.New("a recipient is a public key of age, which begins with age1") // it may be a private one, so it is not quoted
	}
	return recipient, nil
}

// attempt is one attempt at an export.
type attempt struct {
	vault.Export
	request   *vault.Request
	recipient age.Recipient
	noted     time.Time
}

// export carries out an export. Whatever an earlier attempt has left counts no more.
func (w *Worker) export(ctx context.Context, request *vault.Request) error {
	if w.cfg.ExportDir == "" {
		return &refusal{"this deployment makes no exports: exporter.export_dir is not set"}
	}
	if err := w.findSubject(ctx, request); err != nil {
		return err
	}
	who, ok, err := w.deps.Vault.RequestIdentity(ctx, *request)
	if err != nil {
		return err
	}
	if !ok {
		return &refusal{"the request does not say of whom it is"}
	}
	if err := w.say(ctx, request, gdpr.StateInProgress, ""); err != nil {
		return err
	}
	w.passed(stepBegun)
	a, err := w.beginAttempt(ctx, request)
	if err != nil {
		return err
	}
	w.passed(stepAttempt)
	err = w.carryOutAttempt(ctx, a, who)
	var refused *refusal
	if errors.As(err, &refused) {
		err = errors.Join(err, w.deps.Vault.DropExport(ctx, a.Export))
	}
	return err
}

// beginAttempt has the vault keep what opens the file, before there is one.
func (w *Worker) beginAttempt(ctx context.Context, request *vault.Request) (*attempt, error) {
	o, err := optionsOf(request)
	if err != nil {
		return nil, err
	}
	a := &attempt{Export: vault.Export{Request: request.ID, Subject: request.Subject}, request: request}
	rand.Read(a.Attempt[:]) // never fails
	var secret []byte
	if o.Recipient != "" {
		if a.recipient, err = ParseRecipient(o.Recipient); err != nil {
			return nil, &refusal{err.Error()}
		}
	} else {
		// A hybrid one: a copy of the file that somebody took away must not open either when computers break elliptic curves.
		identity, err := age.GenerateHybridIdentity()
		if err != nil {
			return nil, err
		}
		a.recipient, secret = identity.Recipient(), []byte(identity.String())
		defer clear(secret)
	}
	begun, err := w.deps.Vault.BeginExport(ctx, a.Export, secret)
	if err == nil && !begun {
		err = w.whyLost(ctx, a)
	}
	return a, err
}

func errErasedMeanwhile() error { return &refusal{"the person was erased meanwhile"} }

// carryOutAttempt writes the file and ends the request. The file has no name before it is whole, and is removed again if it is certain that the attempt does not count.
func (w *Worker) carryOutAttempt(ctx context.Context, a *attempt, who vault.Identity) error {
	if err := os.MkdirAll(w.cfg.ExportDir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(w.cfg.ExportDir, exportName(a.Request, a.Attempt))
	file, err := durable.Begin(path)
	if err != nil {
		return err
	}
	summary, err := w.writeArchive(ctx, a, who, file)
	if err != nil {
		return errors.Join(err, file.Discard())
	}
	w.passed(stepWritten)
	if err := file.Commit(); err != nil {
		return err
	}
	w.passed(stepNamed)
	err = w.finishAttempt(ctx, a, summary)
	var refused *refusal
	switch {
	case errors.Is(err, errOvertaken), errors.As(err, &refused):
		return errors.Join(err, os.Remove(path))
	case err != nil:
		// The vault may have taken it as the request's archive: the answer was lost, or this process is to end. If it has not, keepExports removes the file.
		return err
	}
	w.passed(stepEnded)
	return nil
}

func (w *Worker) writeArchive(ctx context.Context, a *attempt, who vault.Identity, to io.Writer) (archive.Summary, error) {
	buffered := bufio.NewWriterSize(to, 1<<20)
	sealer, err := age.Encrypt(buffered, a.recipient)
	if err != nil {
		return archive.Summary{}, err
	}
	summary, err := archive.Write(ctx, archive.Deps{Store: w.deps.Store, Vault: w.deps.Vault, Keys: w.deps.Keys}, archive.Order{
		Request: a.Request, Subject: a.Subject, Who: who, At: time.Now(), Version: telemetry.ReadBuild().Version, Scratch: w.cfg.ExportDir,
		Progress: func(ctx context.Context, events, total uint64) error { return w.noteProgress(ctx, a, events, total) },
	}, sealer)
	if err != nil {
		return archive.Summary{}, err
	}
	return summary, errors.Join(sealer.Close(), buffered.Flush())
}

// noteProgress keeps how far it is, and ends an attempt that does not count any more.
func (w *Worker) noteProgress(ctx context.Context, a *attempt, events, total uint64) error {
	a.Events, a.Total = events, total
	now := time.Now()
	if now.Sub(a.noted) < noteEvery && events > 0 && events < total {
		return nil
	}
	a.noted = now
	counts, err := w.deps.Vault.NoteExport(ctx, a.Export, events, total)
	if err != nil {
		return err
	}
	if !counts {
		return w.whyLost(ctx, a)
	}
	if events > 0 {
		w.passed(stepPart)
	}
	return nil
}

func (w *Worker) finishAttempt(ctx context.Context, a *attempt, summary archive.Summary) error {
	now := time.Now().UTC()
	a.Expires = now.Add(w.cfg.ExportKeep).Truncate(time.Microsecond)
	a.Events, a.Total = summary.Events, summary.Events
	text, err := json.Marshal(ExportResult{
		RequestID: gdpr.SubjectID(a.Request).String(), Status: string(gdpr.StateCompleted), Events: summary.Events, Files: summary.Files,
		ForRecipient: a.forRecipient(), Expires: a.Expires.Format(time.RFC3339),
	})
	if err != nil {
		return err
	}
	// What the log says of it is noted together with the end: an erasure that comes first leaves neither.
	step := stepOf(a.request, gdpr.StateCompleted, "")
	step.Attributes["events"] = strconv.FormatUint(summary.Events, 10)
	said, err := step.saying(stepID(a.Request, string(gdpr.StateCompleted)), now)
	if err != nil {
		return err
	}
	done, err := w.deps.Vault.FinishExport(ctx, a.Export, string(text), now, said)
	if err == nil && !done {
		err = w.whyLost(ctx, a)
	}
	return err
}

func (a *attempt) forRecipient() bool {
	o, err := optionsOf(a.request)
	return err == nil && o.Recipient != ""
}

// whyLost says why an attempt does not count any more.
func (w *Worker) whyLost(ctx context.Context, a *attempt) error {
	there, err := w.deps.Vault.Exist(ctx, []gdpr.SubjectID{a.Subject})
	if err != nil {
		return err
	}
	if len(there) == 0 {
		return errErasedMeanwhile()
	}
	return errOvertaken
}
