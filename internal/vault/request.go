package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Request is what a person asks about their data.
type Request struct {
	ID         [16]byte
	Caller     string // the caller's own id; the same request comes once
	Kind       gdpr.RequestKind
	State      gdpr.RequestState
	Subject    gdpr.SubjectID // zero: not known, or nobody
	Tenant     string         // the person's; AddRequest takes it from who. Empty for requests of older versions
	Options    string         // JSON
	VerifiedBy string         // who has checked that the request is the person's; empty: nobody yet
	Reason     string         // why it was refused, cancelled or waits; names nobody
	Result     string         // JSON; empty: there is none yet
	Received   time.Time
	Due        time.Time
	Changed    time.Time
	Resume     time.Time // when it waits: until then; zero: it does not

	wrapped  int
	identity []byte
}

const (
	requestColumns = `SELECT id, caller, kind, state, wrapped, identity, subject, options, verified_by, reason, result,
		received_micros, due_micros, changed_micros, resume_micros, tenant FROM requests`
	insertRequest = `INSERT INTO requests (id, caller, kind, state, wrapped, identity, options, verified_by, received_micros, due_micros, changed_micros, tenant)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (caller) DO NOTHING`
	// claimRequest takes what can be worked at: it was verified, or somebody has left it, or it has waited long enough.
	claimRequest = `UPDATE requests SET claimed_micros = ?, state = ?, changed_micros = ? WHERE id = ? AND (claimed_micros < ? OR claimed_micros > ?)
		AND (state = ? OR state = ? OR state = ? AND (resume_micros <= ? OR resume_micros > ?))`
	extendClaim   = `UPDATE requests SET claimed_micros = ? WHERE id = ? AND state = ?`
	verifyRequest = `UPDATE requests SET state = ?, verified_by = ?, changed_micros = ? WHERE id = ? AND state = ?`
	// cancelRequest leaves an erasure alone that has destroyed already: it would never be said in the log, so a restored vault would bring the person back.
	cancelRequest = `UPDATE requests SET state = ?, reason = ?, identity = NULL, changed_micros = ? WHERE id = ? AND state IN (?, ?, ?)
		AND NOT EXISTS (SELECT 1 FROM destroyed WHERE destroyed.request = requests.id)`
	noteSubject   = `UPDATE requests SET subject = ? WHERE id = ?`
	waitRequest   = `UPDATE requests SET state = ?, reason = ?, resume_micros = ?, claimed_micros = 0, changed_micros = ? WHERE id = ? AND state = ?`
	endRequest    = `UPDATE requests SET state = ?, reason = ?, result = ?, resume_micros = ?, identity = NULL, claimed_micros = 0, changed_micros = ? WHERE id = ? AND state = ?`
	deferResult   = `UPDATE requests SET resume_micros = ? WHERE id = ? AND state = ? AND resume_micros > 0`
	amendResult   = `UPDATE requests SET result = ?, resume_micros = 0 WHERE id = ? AND state = ? AND result = ?`
	extendDue     = `UPDATE requests SET due_micros = ?, changed_micros = ? WHERE id = ? AND due_micros = ? AND identity IS NOT NULL`
	oldRequests   = requestColumns + ` WHERE identity IS NOT NULL AND wrapped < ?`
	rewrapRequest = `UPDATE requests SET wrapped = ?, identity = ? WHERE id = ? AND wrapped = ? AND identity IS NOT NULL`
)

// maxClaim is longer than anybody claims anything, and maxPause longer than a request waits. What lies beyond was noted while a clock ran ahead, and binds nobody:
// otherwise what somebody has left would be stuck until that clock's time has come.
const (
	maxClaim = 10 * time.Minute
	maxPause = 24 * time.Hour
)

func scanRequest(rows *sql.Rows, r *Request) error {
	var subject []byte
	err := rows.Scan(fixed(r.ID[:]), &r.Caller, &r.Kind, &r.State, &r.wrapped, &r.identity, &subject, &r.Options, &r.VerifiedBy, &r.Reason, &r.Result,
		microTime{&r.Received}, microTime{&r.Due}, microTime{&r.Changed}, microTime{&r.Resume}, &r.Tenant)
	if err != nil {
		return err
	}
	if r.Resume.UnixMicro() == 0 {
		r.Resume = time.Time{}
	}
	if subject == nil {
		return nil
	}
	return fixed(r.Subject[:]).Scan(subject)
}

// AddRequest stores a request about a person. If one with the caller's id is there already, added is false, and that one is returned, whatever it says.
func (v *Vault) AddRequest(ctx context.Context, r Request, who Identity, said ...Saying) (stored Request, added bool, err error) {
	if err := who.check(); err != nil {
		return Request{}, false, err
	}
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	generation := int(v.generation.Load())
	w, err := v.keys.wrappers().of(ctx, generation)
	if err != nil {
		return Request{}, false, v.failed("store a request", err)
	}
	plain := who.encode()
	defer clear(plain)
	identity := w.wrap(purposeRequest, r.ID[:], plain)
	var inserted int64
	err = v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		if err := v.holdGeneration(ctx, tx, generation); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, v.db.query(insertRequest), r.ID[:], r.Caller, r.Kind, r.State, generation, identity, r.Options, r.VerifiedBy,
			r.Received.UnixMicro(), r.Due.UnixMicro(), r.Received.UnixMicro(), who.Tenant)
		if err != nil {
			return err
		}
		if inserted, err = result.RowsAffected(); err != nil || inserted == 0 {
			return err
		}
		return v.note(ctx, tx, said)
	})
	if errors.Is(err, errOtherGeneration) {
		return v.AddRequest(ctx, r, who, said...) // with the generation that the vault uses now
	}
	if err != nil {
		return Request{}, false, v.failed("store a request", err)
	}
	list, err := v.requests(ctx, requestColumns+` WHERE caller = ?`, r.Caller)
	if err != nil {
		return Request{}, false, err
	}
	if len(list) != 1 {
		return Request{}, false, fmt.Errorf("store a request: it is gone again")
	}
	return list[0], inserted == 1, nil
}

// Request returns a request, and false if there is none.
func (v *Vault) Request(ctx context.Context, id [16]byte) (Request, bool, error) {
	list, err := v.requests(ctx, requestColumns+` WHERE id = ?`, id[:])
	if err != nil || len(list) == 0 {
		return Request{}, false, err
	}
	return list[0], true, nil
}

// RequestByCaller returns the request with a caller's own id, and false if there is none.
func (v *Vault) RequestByCaller(ctx context.Context, caller string) (Request, bool, error) {
	list, err := v.requests(ctx, requestColumns+` WHERE caller = ?`, caller)
	if err != nil || len(list) == 0 {
		return Request{}, false, err
	}
	return list[0], true, nil
}

// Requests returns all requests, by the time at which they came.
func (v *Vault) Requests(ctx context.Context) ([]Request, error) {
	return v.requests(ctx, requestColumns+` ORDER BY received_micros, id`)
}

// OpenRequests returns those that somebody has to work at now: verified, in progress, or waiting until a time that has come.
func (v *Vault) OpenRequests(ctx context.Context, now time.Time) ([]Request, error) {
	return v.requests(ctx, requestColumns+` WHERE (claimed_micros < ? OR claimed_micros > ?) AND (state = ? OR state = ? OR state = ? AND (resume_micros <= ? OR resume_micros > ?)) ORDER BY received_micros, id`,
		now.UnixMicro(), now.Add(maxClaim).UnixMicro(), gdpr.StateVerified, gdpr.StateInProgress, gdpr.StateWaiting, now.UnixMicro(), now.Add(maxPause).UnixMicro())
}

func (v *Vault) requests(ctx context.Context, query string, args ...any) ([]Request, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := collect(ctx, v.db.read, scanRequest, v.db.query(query), args...)
	if err != nil {
		return nil, v.failed("read requests", err)
	}
	return list, nil
}

// RequestIdentity returns of whom a request is, and false once it has ended.
func (v *Vault) RequestIdentity(ctx context.Context, r Request) (Identity, bool, error) {
	if r.identity == nil {
		return Identity{}, false, nil
	}
	w, err := v.keys.wrappers().of(ctx, r.wrapped)
	if err != nil {
		return Identity{}, false, v.failed("read of whom a request is", err)
	}
	plain, err := w.unwrap(purposeRequest, r.ID[:], r.identity)
	if err != nil {
		return Identity{}, false, v.failed("read of whom a request is", err)
	}
	defer clear(plain)
	who, err := decodeIdentity(plain)
	return who, err == nil, err
}

// ClaimRequest takes a request to work at it until a time, and returns false if somebody else has it, or there is nothing to do.
func (v *Vault) ClaimRequest(ctx context.Context, id [16]byte, now, until time.Time) (bool, error) {
	n := now.UnixMicro()
	return v.changeRequest(ctx, "claim a request", nil, claimRequest, until.UnixMicro(), gdpr.StateInProgress, n, id[:], n, now.Add(maxClaim).UnixMicro(),
		gdpr.StateVerified, gdpr.StateInProgress, gdpr.StateWaiting, n, now.Add(maxPause).UnixMicro())
}

// KeepRequest extends a claim.
func (v *Vault) KeepRequest(ctx context.Context, id [16]byte, until time.Time) (bool, error) {
	return v.changeRequest(ctx, "keep a request", nil, extendClaim, until.UnixMicro(), id[:], gdpr.StateInProgress)
}

// VerifyRequest notes who has checked that a request is the person's. Only then is it carried out.
func (v *Vault) VerifyRequest(ctx context.Context, id [16]byte, by string, now time.Time, said ...Saying) (bool, error) {
	if by == "" {
		return false, errors.New("verify a request: by whom?")
	}
	return v.changeRequest(ctx, "verify a request", said, verifyRequest, gdpr.StateVerified, by, now.UnixMicro(), id[:], gdpr.StateReceived)
}

// CancelRequest ends a request that nobody is at work on yet, and that has destroyed nothing.
func (v *Vault) CancelRequest(ctx context.Context, id [16]byte, reason string, now time.Time, said ...Saying) (bool, error) {
	done, err := v.changeRequest(ctx, "cancel a request", said, cancelRequest, gdpr.StateCancelled, reason, now.UnixMicro(), id[:],
		gdpr.StateReceived, gdpr.StateVerified, gdpr.StateWaiting)
	if err != nil || !done {
		return false, err
	}
	return true, v.eraseFiles(ctx)
}

// NoteSubject keeps whose pseudonym a request is about.
func (v *Vault) NoteSubject(ctx context.Context, id [16]byte, subject gdpr.SubjectID) error {
	_, err := v.changeRequest(ctx, "note the subject of a request", nil, noteSubject, subject[:], id[:])
	return err
}

// DeferRequest lets a request in progress wait, with the reason.
func (v *Vault) DeferRequest(ctx context.Context, id [16]byte, reason string, until, now time.Time) (bool, error) {
	return v.changeRequest(ctx, "defer a request", nil, waitRequest, gdpr.StateWaiting, reason, until.UnixMicro(), now.UnixMicro(), id[:], gdpr.StateInProgress)
}

// Ending is how a request ends.
type Ending struct {
	State      gdpr.RequestState // completed or refused
	Reason     string            // why it was refused
	Result     string            // JSON
	Unfinished time.Time         // when somebody is to complete the result; zero: it is complete
}

// EndRequest ends a request in progress. From then on it does not say of whom it was; with SQLite no file of the vault does.
func (v *Vault) EndRequest(ctx context.Context, id [16]byte, e Ending, now time.Time) (bool, error) {
	done, err := v.changeRequest(ctx, "end a request", nil, endRequest, e.State, e.Reason, e.Result, microsOrZero(e.Unfinished), now.UnixMicro(), id[:], gdpr.StateInProgress)
	if err != nil || !done {
		return false, err
	}
	return true, v.eraseFiles(ctx)
}

// UnfinishedResults returns the completed requests whose results are to be completed now.
func (v *Vault) UnfinishedResults(ctx context.Context, now time.Time) ([]Request, error) {
	return v.requests(ctx, requestColumns+` WHERE state = ? AND resume_micros > 0 AND resume_micros <= ? ORDER BY received_micros, id`, gdpr.StateCompleted, now.UnixMicro())
}

// DeferResult has a result completed later.
func (v *Vault) DeferResult(ctx context.Context, id [16]byte, until time.Time) error {
	_, err := v.changeRequest(ctx, "defer a result", nil, deferResult, until.UnixMicro(), id[:], gdpr.StateCompleted)
	return err
}

// AmendResult completes a result, unless it is not what it was any more.
func (v *Vault) AmendResult(ctx context.Context, id [16]byte, was, result string) error {
	_, err := v.changeRequest(ctx, "amend a result", nil, amendResult, result, id[:], gdpr.StateCompleted, was)
	return err
}

// ExtendRequest moves the date at which a request is due, once: due is what it was.
func (v *Vault) ExtendRequest(ctx context.Context, id [16]byte, due, to, now time.Time, said ...Saying) (bool, error) {
	return v.changeRequest(ctx, "extend a request", said, extendDue, to.UnixMicro(), now.UnixMicro(), id[:], due.UnixMicro())
}

// changeRequest makes a change, and notes what is to be said about it if there was one.
func (v *Vault) changeRequest(ctx context.Context, doing string, said []Saying, query string, args ...any) (bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	changed, err := v.changeAndNote(ctx, said, query, args...)
	if err != nil {
		return false, v.failed(doing, err)
	}
	return changed, nil
}

// eraseFiles has what was deleted disappear from the database's files.
func (v *Vault) eraseFiles(ctx context.Context) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	if err := v.db.erase(ctx); err != nil {
		return v.failed("erase what was deleted from the vault's files", err)
	}
	return nil
}

// rewrapRequests wraps the identities of open requests under a generation.
func (v *Vault) rewrapRequests(ctx context.Context, generation int) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	ws := v.keys.wrappers()
	w, err := ws.of(ctx, generation)
	if err != nil {
		return err
	}
	rows, err := collect(ctx, v.db.read, scanRequest, v.db.query(oldRequests), generation)
	if err != nil {
		return err
	}
	return v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		for i := range rows {
			old, err := ws.of(ctx, rows[i].wrapped)
			if err != nil {
				return err
			}
			plain, err := old.unwrap(purposeRequest, rows[i].ID[:], rows[i].identity)
			if err != nil {
				return fmt.Errorf("request %s: %w", gdpr.SubjectID(rows[i].ID), err)
			}
			identity := w.wrap(purposeRequest, rows[i].ID[:], plain)
			clear(plain)
			if _, err := tx.ExecContext(ctx, v.db.query(rewrapRequest), generation, identity, rows[i].ID[:], rows[i].wrapped); err != nil {
				return err
			}
		}
		return nil
	})
}
