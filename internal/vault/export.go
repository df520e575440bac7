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
	exportColumns = `SELECT e.request, e.attempt, e.subject, e.wrapped, e.secret, e.ready, e.events, e.total, e.expires_micros, r.state, e.mac
		FROM exports e JOIN requests r ON r.id = e.request`
	exportAlone  = `SELECT request, attempt, subject, wrapped, secret, ready, events, total, expires_micros, '', mac FROM exports`
	lockSubject  = `SELECT id FROM subjects WHERE id = ?`
	deleteExport = `DELETE FROM exports WHERE request = ?`
	insertExport = `INSERT INTO exports (request, attempt, subject, wrapped, secret, mac) VALUES (?, ?, ?, ?, ?, ?)`
	noteExport   = `UPDATE exports SET events = ?, total = ? WHERE request = ? AND attempt = ? AND ready = 0`
	finishExport = `UPDATE exports SET ready = 1, events = ?, total = ?, expires_micros = ?, mac = ? WHERE request = ? AND attempt = ? AND ready = 0`
	withOptions  = requestColumns + ` WHERE kind = ? AND state IN (?, ?) AND options <> '{}'`
	dropExport   = `DELETE FROM exports WHERE request = ? AND attempt = ?`
	oldExports   = `SELECT request, attempt, wrapped, secret FROM exports WHERE secret IS NOT NULL AND wrapped < ?`
	rewrapExport = `UPDATE exports SET wrapped = ?, secret = ? WHERE request = ? AND attempt = ? AND wrapped = ?`

	// maxSecretBytes bounds the secret of an export: that of a hybrid identity of age has 77.
	maxSecretBytes = 4096
)

// noOptions are the options of a request that has none.
const noOptions = "{}"

// describe leaves out how far the attempt is. The secret opens at this row only, and is wrapped anew when the keyring is rotated.
func (e *Export) describe(t *rowText) {
	t.begin(tableExports, e.Request)
	t.bytes(e.Attempt[:])
	t.bytes(e.Subject[:])
	t.present(e.secret)
	var ready int64
	if e.Ready {
		ready = 1
	}
	t.number(ready)
	t.time(e.Expires)
}

func scanExport(rows scanner, e *Export) error {
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
// one's; nil: we shall not be able to. It returns false, and has changed nothing, if the request has ended, whose archive another process may have finished, and if
// there is no such subject: then nothing may be written about them, and an erasure that comes later destroys what is stored here.
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
	begun := false
	err = v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		begun = false
		if err := v.holdGeneration(ctx, tx, generation); err != nil {
			return err
		}
		// Before the row of the export, as an erasure does it: whoever comes second sees what the first has done.
		there, err := collect(ctx, tx, scanID, v.db.query(lockSubject)+v.db.forShare(), e.Subject[:])
		if err != nil || len(there) != 1 {
			return err
		}
		if _, err := tx.ExecContext(ctx, v.db.query(deleteExport), e.Request[:]); err != nil {
			return err
		}
		// Behind the export, as FinishExport does it.
		requests, err := genuine(ctx, v, tx, scanRequest, requestColumns+` WHERE id = ?`+v.db.forUpdate(), e.Request[:])
		if err != nil {
			return err
		}
		if len(requests) == 0 || requests[0].State.Ended() {
			return errOvertaken
		}
		row := Export{Request: e.Request, Attempt: e.Attempt, Subject: e.Subject, secret: wrapped}
		_, err = tx.ExecContext(ctx, v.db.query(insertExport), e.Request[:], e.Attempt[:], e.Subject[:], generation, wrapped, v.mac(&row))
		begun = err == nil
		return err
	})
	switch {
	case errors.Is(err, errOtherGeneration):
		return v.BeginExport(ctx, e, secret) // with the generation that the vault uses now
	case errors.Is(err, errOvertaken):
		return false, nil
	case err != nil:
		return false, v.failed("begin an export", err)
	}
	return begun, nil
}

// NoteExport keeps how far an attempt is, and returns false if it does not count any more: the person was erased, or another attempt was begun.
func (v *Vault) NoteExport(ctx context.Context, e Export, events, total uint64) (bool, error) {
	return v.change(ctx, "note how far an export is", noteExport, int64(events), int64(total), e.Request[:], e.Attempt[:])
}

// FinishExport ends a request in progress as completed, with the attempt whose file is whole, and notes what is to be said about it. It returns false, and has
// changed nothing, if the attempt does not count any more.
func (v *Vault) FinishExport(ctx context.Context, e Export, result string, now time.Time, said ...Saying) (bool, error) {
	bounded, cancel := v.bounded(ctx)
	defer cancel()
	done := false
	err := v.db.inTransaction(bounded, func(tx *sql.Tx) error {
		done = false
		rows, err := genuine(bounded, v, tx, scanExport, exportAlone+` WHERE request = ? AND attempt = ? AND ready = 0`+v.db.forUpdate(), e.Request[:], e.Attempt[:])
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return errOvertaken
		}
		row := &rows[0]
		row.Ready, row.Expires = true, e.Expires
		if _, err := tx.ExecContext(bounded, v.db.query(finishExport), int64(e.Events), int64(e.Total), e.Expires.UnixMicro(), v.mac(row), e.Request[:], e.Attempt[:]); err != nil {
			return err
		}
		ended, err := v.alterRequest(bounded, tx, e.Request, func(_ context.Context, _ *sql.Tx, r *Request) (bool, error) {
			r.Options = noOptions // a recipient's key may be known as somebody's
			return r.end(Ending{State: gdpr.StateCompleted, Result: result}, now), nil
		})
		if err != nil {
			return err
		}
		if !ended {
			return errOvertaken
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

// Export returns the archive of a request, or the attempt at it, and false if there is none (any more); ErrForged if it is not ours.
func (v *Vault) Export(ctx context.Context, request [16]byte) (Export, bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := genuine(ctx, v, v.db.read, scanExport, exportColumns+` WHERE e.request = ?`, request[:])
	if err != nil {
		return Export{}, false, v.failed("read an export", err)
	}
	if len(list) == 0 {
		return Export{}, false, nil
	}
	return list[0], true, nil
}

// Exports returns all archives, and attempts at them, but forged ones, whose files count no more.
func (v *Vault) Exports(ctx context.Context) ([]Export, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := onlyGenuine(ctx, v, v.db.read, scanExport, exportColumns)
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
	dropped, err := v.change(ctx, "drop an export", dropExport, e.Request[:], e.Attempt[:])
	if err != nil || !dropped {
		return err
	}
	return v.eraseFiles(ctx)
}

// ForgetExportOptions removes from the requests for exports that have ended without one for whom these would have been encrypted.
func (v *Vault) ForgetExportOptions(ctx context.Context) error {
	list, err := v.requests(ctx, withOptions, gdpr.RequestExport, gdpr.StateRefused, gdpr.StateCancelled)
	if err != nil {
		return err
	}
	for i := range list {
		if _, err := v.changeRequest(ctx, "forget the options of an export", list[i].ID, nil, func(r *Request) bool {
			r.Options = noOptions
			return r.State.Ended()
		}); err != nil {
			return err
		}
	}
	return nil
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
