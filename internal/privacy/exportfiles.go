package privacy

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

const (
	exportSuffix = ".zip.age"
	// tidyEvery is how often files that do not count are removed: how long one outlives an erasure.
	tidyEvery = time.Second
	// forgetEvery is how often requests that have ended are looked through for what they need not say any more.
	forgetEvery = time.Minute
)

// exportName is the name of an attempt's file. It says nothing of the person.
func exportName(request, attempt [16]byte) string {
	return uuid.UUID(request).String() + "-" + hex.EncodeToString(attempt[:]) + exportSuffix
}

// ourFile is how our files are called, and those beside that are to become one.
var ourFile = regexp.MustCompile(`^(\.)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-([0-9a-f]{32})\.zip\.age(\.new-[0-9]+)?$`)

// attemptOf reads from the name of a file whose it is. What is not ours is left alone.
func attemptOf(name string) (attempt [16]byte, beside, ok bool) {
	found := ourFile.FindStringSubmatch(name)
	if found == nil || (found[1] == "") != (found[3] == "") {
		return attempt, false, false
	}
	_, err := hex.Decode(attempt[:], []byte(found[2]))
	return attempt, found[3] != "", err == nil
}

// keepExports removes what does not count, or not any more, until ctx ends: files of people who were erased, of attempts that were interrupted, and of exports whose
// time has passed, with what opens them.
func (w *Worker) keepExports(ctx context.Context) error {
	var forgotten time.Time
	for {
		err := w.tidyExports(ctx, time.Now())
		if now := time.Now(); err == nil && now.Sub(forgotten) >= forgetEvery {
			if err = w.deps.Vault.ForgetExportOptions(ctx); err == nil {
				forgotten = now
			}
		}
		pause := tidyEvery
		if err != nil && ctx.Err() == nil {
			w.deps.Log.Warn("exports cannot be tidied up, trying again", "error", err)
			pause = retryAfter
		}
		if sleepUntil(ctx, time.Now().Add(pause)) != nil {
			return nil
		}
	}
}

func (w *Worker) tidyExports(ctx context.Context, now time.Time) error {
	var files []os.DirEntry
	if w.cfg.ExportDir != "" {
		if err := os.MkdirAll(w.cfg.ExportDir, 0o700); err != nil {
			return err
		}
		// The files before the rows: a file that is seen had its row by then, unless it does not count.
		var err error
		if files, err = os.ReadDir(w.cfg.ExportDir); err != nil {
			return err
		}
	}
	exports, err := w.deps.Vault.Exports(ctx)
	if err != nil {
		return err
	}
	live := map[[16]byte]bool{} // by attempt: whether the file is whole
	for _, e := range exports {
		if over(&e, now) {
			if err := w.deps.Vault.DropExport(ctx, e); err != nil {
				return err
			}
			continue
		}
		live[e.Attempt] = e.Ready
	}
	for _, file := range files {
		attempt, beside, ok := attemptOf(file.Name())
		ready, counts := live[attempt]
		if !ok || counts && !(beside && ready) {
			continue
		}
		if err := os.Remove(filepath.Join(w.cfg.ExportDir, file.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// over says whether an export's time has passed, or its request has ended without it.
func over(e *vault.Export, now time.Time) bool {
	if e.Ready {
		return !now.Before(e.Expires)
	}
	return e.State.Ended()
}

var (
	// ErrNoExport: the request has no archive, or not any more.
	ErrNoExport = errors.New("there is no archive: its time has passed, the person was erased, or the request is none for an export that is completed")
	// ErrExportElsewhere: the archive is there, but not in this folder.
	ErrExportElsewhere = errors.New("the archive is in the folder exporter.export_dir of another machine")
)

// Archive is a finished export that is being read. It is a ZIP, or, if it is Sealed, an age file with one that only its recipient opens. It belongs to one goroutine.
type Archive struct {
	Sealed bool
	Events uint64

	file    *os.File
	content io.Reader
}

// Read implements io.Reader. What it returns is authentic as far as it goes; that it is all there is only io.EOF says.
func (a *Archive) Read(p []byte) (int, error) { return a.content.Read(p) }

// Close implements io.Closer.
func (a *Archive) Close() error { return a.file.Close() }

// OpenExport opens the archive of a completed request in a folder: ErrNoExport or ErrExportElsewhere if it is not there.
func OpenExport(ctx context.Context, v *vault.Vault, dir string, request [16]byte) (*Archive, error) {
	e, found, err := v.Export(ctx, request)
	if err != nil {
		return nil, err
	}
	if !found || !e.Ready || over(&e, time.Now()) {
		return nil, ErrNoExport
	}
	if dir == "" {
		return nil, ErrExportElsewhere
	}
	file, err := os.OpenInRoot(dir, exportName(e.Request, e.Attempt))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrExportElsewhere
	}
	if err != nil {
		return nil, fmt.Errorf("open the archive of request %s: %w", gdpr.SubjectID(request), err)
	}
	a := &Archive{Sealed: !e.Ours(), Events: e.Events, file: file, content: file}
	if a.Sealed {
		return a, nil
	}
	if a.content, err = unseal(ctx, v, e, file); err != nil {
		return nil, errors.Join(fmt.Errorf("open the archive of request %s: %w", gdpr.SubjectID(request), err), file.Close())
	}
	return a, nil
}

func unseal(ctx context.Context, v *vault.Vault, e vault.Export, file io.Reader) (io.Reader, error) {
	secret, err := v.ExportSecret(ctx, e)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	identity, err := age.ParseHybridIdentity(string(secret))
	if err != nil {
		return nil, errors.New("what the vault has for it is no key") // the error could quote it
	}
	return age.Decrypt(file, identity)
}
