package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Export is an archive of what there is about a person, or an attempt at making one. The archive is a file elsewhere; what opens it is here, so that the file is
// worth nothing once the row is gone.
type Export struct {
	Request       [16]byte
	Attempt       [16]byte // names the file: each attempt has a file and a secret of its own
	Subject       gdpr.SubjectID
	Ready         bool              // the file is whole
	Events, Total uint64            // in the file so far, and that it will have
	Expires       time.Time         // when it goes; zero: it is not ready
	State         gdpr.RequestState // of the request

	wrapped int
	secret  []byte
}

// Ours says whether the vault has what opens the file. If not, only the recipient can whom the request has named.
func (e *Export) Ours() bool { return e.secret != nil }

// tableExports goes with the subject.
const tableExports = "exports"

const (
	exportColumns = `SELECT e.request, e.attempt, e.subject, e.wrapped, e.secret, e.ready, e.events, e.total, e.expires_micros, r.state
		FROM exports e JOIN requests r ON r.id = e.request`
	lockSubject  = `SELECT id FROM subjects WHERE id = ?`
	deleteExport = `DELETE FROM exports WHERE request = ?`
	insertExport = `INSERT INTO exports (request, attempt, subject, wrapped, secret) VALUES (?, ?, ?, ?, ?)`
	noteExport   = `UPDATE exports SET events = ?, total = ? WHERE request = ? AND attempt = ? AND ready = 0`
	finishExport = `UPDATE exports SET ready = 1, events = ?, total = ?, expires_micros = ? WHERE request = ? AND attempt = ? AND ready = 0`
	// completeExport forgets the options too: a recipient's key may be known as somebody's.
	completeExport = `UPDATE requests SET state = ?, reason = '', result = ?, options = '{}', resume_micros = 0, identity = NULL, claimed_micros = 0, changed_micros = ? WHERE id = ? AND state = ?`
	forgetOptions  = `UPDATE requests SET options = '{}' WHERE kind = ? AND state IN (?, ?) AND options <> '{}'`
	dropExport     = `DELETE FROM exports WHERE request = ? AND attempt = ?`
	oldExports     = `SELECT request, attempt, wrapped, secret FROM exports WHERE secret IS NOT NULL AND wrapped < ?`
	rewrapExport   = `UPDATE exports SET wrapped = ?, secret = ? WHERE request = ? AND attempt = ? AND wrapped = ?`

	// maxSecretBytes bounds the secret of an export: that of a hybrid identity of age has 77.
	maxSecretBytes = 4096
)

func scanExport(rows *sql.Rows, e *Export) error {
	var ready int64
	err := rows.Scan(fixed(e.Request[:]), fixed(e.Attempt[:]), fixed(e.Subject[:]), &e.wrapped, &e.secret, &ready, &e.Events, &e.Total, microTime{&e.Expires}, &e.State)
	if e.Ready = ready != 0; e.Expires.UnixMicro() == 0 {
		e.Expires = time.Time{}
	}
	return err
}

// place binds the secret to its attempt.
func (e *Export) place() []byte {
	return append(append([]byte(nil), e.Request[:]...), e.Attempt[:]...)
}

// BeginExport stores an attempt at making an archive, in the place of earlier ones of the request, whose files nothing opens from then on. secret opens the new
// one's; nil: we shall not be able to. It returns false if there is no such subject: then nothing may be written about them, and an erasure that comes later
// destroys what is stored here.
func (v *Vault) BeginExport(ctx context.Context, e Export, secret []byte) (bool, error) {
	if len(secret) > maxSecretBytes {
		return false, errors.New("begin an export: its secret is too long")
	}
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	generation := int(v.generation.Load())
	w, err := v.keys.wrappers().of(ctx, generation)
	if err != nil {
		return false, v.failed("begin an export", err)
	}
	var wrapped []byte
	if secret != nil {
		wrapped = w.wrap(purposeExport, e.place(), secret)
	}
	found := false
	err = v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		if err := v.holdGeneration(ctx, tx, generation); err != nil {
			return err
		}
		// Before the row of the export, as an erasure does it: whoever comes second sees what the first has done.
		there, err := collect(ctx, tx, scanID, v.db.query(lockSubject)+v.db.forShare(), e.Subject[:])
		if found = len(there) == 1; err != nil || !found {
			return err
		}
		if _, err := tx.ExecContext(ctx, v.db.query(deleteExport), e.Request[:]); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, v.db.query(insertExport), e.Request[:], e.Attempt[:], e.Subject[:], generation, wrapped)
		return err
	})
	if errors.Is(err, errOtherGeneration) {
		return v.BeginExport(ctx, e, secret) // with the generation that the vault uses now
	}
	if err != nil {
		return false, v.failed("begin an export", err)
	}
	return found, nil
}

// NoteExport keeps how far an attempt is, and returns false if it does not count any more: the person was erased, or another attempt was begun.
func (v *Vault) NoteExport(ctx context.Context, e Export, events, total uint64) (bool, error) {
	return v.changeRequest(ctx, "note how far an export is", nil, noteExport, int64(events), int64(total), e.Request[:], e.Attempt[:])
}

// FinishExport ends a request in progress as completed, with the attempt whose file is whole, and notes what is to be said about it. It returns false, and has
// changed nothing, if the attempt does not count any more.
func (v *Vault) FinishExport(ctx context.Context, e Export, result string, now time.Time, said ...Saying) (bool, error) {
	bounded, cancel := v.bounded(ctx)
	defer cancel()
	done := false
	err := v.db.inTransaction(bounded, func(tx *sql.Tx) error {
		done = false
		for _, change := range []struct {
			query string
			args  []any
		}{
			{finishExport, []any{int64(e.Events), int64(e.Total), e.Expires.UnixMicro(), e.Request[:], e.Attempt[:]}},
			{completeExport, []any{gdpr.StateCompleted, result, now.UnixMicro(), e.Request[:], gdpr.StateInProgress}},
		} {
			answer, err := tx.ExecContext(bounded, v.db.query(change.query), change.args...)
			if err != nil {
				return err
			}
			if n, err := answer.RowsAffected(); err != nil || n == 0 {
				return errors.Join(err, errOvertaken)
			}
		}
		done = true
		return v.note(bounded, tx, said)
	})
	switch {
	case errors.Is(err, errOvertaken):
		return false, nil
	case err != nil:
		return false, v.failed("finish an export", err)
	}
	return done, v.eraseFiles(ctx)
}

// errOvertaken: the attempt does not count any more.
var errOvertaken = errors.New("overtaken")

// Export returns the archive of a request, or the attempt at it, and false if there is none (any more).
func (v *Vault) Export(ctx context.Context, request [16]byte) (Export, bool, error) {
	list, err := v.exports(ctx, exportColumns+` WHERE e.request = ?`, request[:])
	if err != nil || len(list) == 0 {
		return Export{}, false, err
	}
	return list[0], true, nil
}

// Exports returns all archives, and attempts at them.
func (v *Vault) Exports(ctx context.Context) ([]Export, error) { return v.exports(ctx, exportColumns) }

func (v *Vault) exports(ctx context.Context, query string, args ...any) ([]Export, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := collect(ctx, v.db.read, scanExport, v.db.query(query), args...)
	if err != nil {
		return nil, v.failed("read exports", err)
	}
	return list, nil
}

// ExportSecret returns what opens the file of an export that is Ours. The caller clears it.
func (v *Vault) ExportSecret(ctx context.Context, e Export) ([]byte, error) {
	w, err := v.keys.wrappers().of(ctx, e.wrapped)
	if err != nil {
		return nil, v.failed("read the secret of an export", err)
	}
	secret, err := w.unwrap(purposeExport, e.place(), e.secret)
	if err != nil {
		return nil, v.failed("read the secret of an export", err)
	}
	return secret, nil
}

// DropExport destroys what opens the file of an attempt. With SQLite it is in no file of the vault afterwards.
func (v *Vault) DropExport(ctx context.Context, e Export) error {
	dropped, err := v.changeRequest(ctx, "drop an export", nil, dropExport, e.Request[:], e.Attempt[:])
	if err != nil || !dropped {
		return err
	}
	return v.eraseFiles(ctx)
}

// ForgetExportOptions removes from the requests for exports that have ended without one for whom these would have been encrypted.
func (v *Vault) ForgetExportOptions(ctx context.Context) error {
	_, err := v.changeRequest(ctx, "forget the options of exports", nil, forgetOptions, gdpr.RequestExport, gdpr.StateRefused, gdpr.StateCancelled)
	return err
}

// rewrapExports wraps the secrets of exports under a generation.
func (v *Vault) rewrapExports(ctx context.Context, generation int) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	ws := v.keys.wrappers()
	w, err := ws.of(ctx, generation)
	if err != nil {
		return err
	}
	rows, err := collect(ctx, v.db.read, func(rows *sql.Rows, e *Export) error {
		return rows.Scan(fixed(e.Request[:]), fixed(e.Attempt[:]), &e.wrapped, &e.secret)
	}, v.db.query(oldExports), generation)
	if err != nil || len(rows) == 0 {
		return err
	}
	return v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		for i := range rows {
			e := &rows[i]
			old, err := ws.of(ctx, e.wrapped)
			if err != nil {
				return err
			}
			plain, err := old.unwrap(purposeExport, e.place(), e.secret)
			if err != nil {
				return fmt.Errorf("export of request %s: %w", gdpr.SubjectID(e.Request), err)
			}
			secret := w.wrap(purposeExport, e.place(), plain)
			clear(plain)
			if _, err := tx.ExecContext(ctx, v.db.query(rewrapExport), generation, secret, e.Request[:], e.Attempt[:], e.wrapped); err != nil {
				return err
			}
		}
		return nil
	})
}
