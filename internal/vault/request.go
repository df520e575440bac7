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
	claimed  time.Time // somebody is at work on it until then
}

const (
	requestColumns = `SELECT id, caller, kind, state, wrapped, identity, subject, options, verified_by, reason, result,
		received_micros, due_micros, changed_micros, resume_micros, tenant, claimed_micros, mac FROM requests`
	insertRequest = `INSERT INTO requests (id, caller, kind, state, wrapped, identity, options, verified_by, received_micros, due_micros, changed_micros, tenant, mac)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (caller) DO NOTHING`
	// updateRequest writes all that may change. The identity is under the generation that it was read with: the row is locked.
	updateRequest = `UPDATE requests SET state = ?, identity = ?, subject = ?, options = ?, verified_by = ?, reason = ?, result = ?, due_micros = ?, changed_micros = ?,
		resume_micros = ?, claimed_micros = ?, mac = ? WHERE id = ?`
	// extendClaim and deferResult change nothing that the MAC covers.
	extendClaim   = `UPDATE requests SET claimed_micros = ? WHERE id = ? AND state = ?`
	deferResult   = `UPDATE requests SET resume_micros = ? WHERE id = ? AND state = ? AND resume_micros > 0`
	oldRequests   = requestColumns + ` WHERE identity IS NOT NULL AND wrapped < ?`
	rewrapRequest = `UPDATE requests SET wrapped = ?, identity = ? WHERE id = ? AND wrapped = ? AND identity IS NOT NULL`
)

// maxClaim is longer than anybody claims anything, and maxPause longer than a request waits. What lies beyond was noted while a clock ran ahead, and binds nobody:
// otherwise what somebody has left would be stuck until that clock's time has come.
const (
	maxClaim = 10 * time.Minute
	maxPause = 24 * time.Hour
)

// describe leaves out when somebody looks at it again. The identity opens at this row only, and is wrapped anew when the keyring is rotated.
func (r *Request) describe(t *rowText) {
	t.begin("requests", r.ID)
	t.string(r.Caller)
	t.string(string(r.Kind))
	t.string(string(r.State))
	t.present(r.identity)
	t.bytes(r.Subject[:])
	t.string(r.Options)
	t.string(r.VerifiedBy)
	t.string(r.Reason)
	t.string(r.Result)
	t.time(r.Received)
	t.time(r.Due)
	t.time(r.Changed)
	t.string(r.Tenant)
}

func scanRequest(rows scanner, r *Request) error {
	var subject []byte
	err := rows.Scan(fixed(r.ID[:]), &r.Caller, &r.Kind, &r.State, &r.wrapped, &r.identity, &subject, &r.Options, &r.VerifiedBy, &r.Reason, &r.Result,
		microTime{&r.Received}, microTime{&r.Due}, microTime{&r.Changed}, microTime{&r.Resume}, &r.Tenant, microTime{&r.claimed})
	if err != nil {
		return err
	}
	for _, t := range []*time.Time{&r.Resume, &r.claimed} {
		if t.UnixMicro() == 0 {
			*t = time.Time{}
		}
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
	// What is stored, and no more.
	r = Request{
		ID: r.ID, Caller: r.Caller, Kind: r.Kind, State: r.State, Tenant: who.Tenant, Options: r.Options, VerifiedBy: r.VerifiedBy,
		Received: r.Received, Due: r.Due, Changed: r.Received, identity: w.wrap(purposeRequest, r.ID[:], plain),
	}
	var inserted int64
	err = v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		if err := v.holdGeneration(ctx, tx, generation); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, v.db.query(insertRequest), r.ID[:], r.Caller, r.Kind, r.State, generation, r.identity, r.Options, r.VerifiedBy,
			r.Received.UnixMicro(), r.Due.UnixMicro(), r.Changed.UnixMicro(), r.Tenant, v.mac(&r))
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
	stored, found, err := v.RequestByCaller(ctx, r.Caller)
	if err == nil && !found {
		err = errors.New("store a request: it is gone again")
	}
	return stored, inserted == 1, err
}

// Request returns a request, and false if there is none; ErrForged if it is not ours.
func (v *Vault) Request(ctx context.Context, id [16]byte) (Request, bool, error) {
	return v.request(ctx, requestColumns+` WHERE id = ?`, id[:])
}

// RequestByCaller returns the request with a caller's own id, and false if there is none; ErrForged if it is not ours.
func (v *Vault) RequestByCaller(ctx context.Context, caller string) (Request, bool, error) {
	return v.request(ctx, requestColumns+` WHERE caller = ?`, caller)
}

func (v *Vault) request(ctx context.Context, query string, args ...any) (Request, bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := genuine(ctx, v, v.db.read, scanRequest, query, args...)
	if err != nil {
		return Request{}, false, v.failed("read a request", err)
	}
	if len(list) == 0 {
		return Request{}, false, nil
	}
	return list[0], true, nil
}

// Requests returns all requests, by the time at which they came. Forged ones are left out of this and all other lists.
func (v *Vault) Requests(ctx context.Context) ([]Request, error) {
	return v.requests(ctx, requestColumns+` ORDER BY received_micros, id`)
}

// OpenRequests returns those that somebody has to work at now: verified, in progress, or waiting until a time that has come.
func (v *Vault) OpenRequests(ctx context.Context, now time.Time) ([]Request, error) {
	return v.requests(ctx, requestColumns+` WHERE (claimed_micros < ? OR claimed_micros > ?) AND (state = ? OR state = ? OR state = ? AND (resume_micros <= ? OR resume_micros > ?)) ORDER BY received_micros, id`,
		now.UnixMicro(), now.Add(maxClaim).UnixMicro(), gdpr.StateVerified, gdpr.StateInProgress, gdpr.StateWaiting, now.UnixMicro(), now.Add(maxPause).UnixMicro())
}

// claimable says whether a request is among OpenRequests: it was verified, or somebody has left it, or it has waited long enough.
func (r *Request) claimable(now time.Time) bool {
	within := func(at time.Time, longest time.Duration) bool {
		micros := microsOrZero(at)
		return micros >= now.UnixMicro() && micros <= now.Add(longest).UnixMicro()
	}
	if within(r.claimed, maxClaim) {
		return false
	}
	switch r.State {
	case gdpr.StateVerified, gdpr.StateInProgress:
		return true
	case gdpr.StateWaiting:
		resume := microsOrZero(r.Resume)
		return resume <= now.UnixMicro() || resume > now.Add(maxPause).UnixMicro()
	}
	return false
}

func (v *Vault) requests(ctx context.Context, query string, args ...any) ([]Request, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := onlyGenuine(ctx, v, v.db.read, scanRequest, query, args...)
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
	return v.changeRequest(ctx, "claim a request", id, nil, func(r *Request) bool {
		if !r.claimable(now) {
			return false
		}
		r.State, r.claimed, r.Changed = gdpr.StateInProgress, until, now
		return true
	})
}

// KeepRequest extends a claim.
func (v *Vault) KeepRequest(ctx context.Context, id [16]byte, until time.Time) (bool, error) {
	return v.change(ctx, "keep a request", extendClaim, until.UnixMicro(), id[:], gdpr.StateInProgress)
}

// VerifyRequest notes who has checked that a request is the person's. Only then is it carried out.
func (v *Vault) VerifyRequest(ctx context.Context, id [16]byte, by string, now time.Time, said ...Saying) (bool, error) {
	if by == "" {
		return false, errors.New("verify a request: by whom?")
	}
	return v.changeRequest(ctx, "verify a request", id, said, func(r *Request) bool {
		if r.State != gdpr.StateReceived {
			return false
		}
		r.State, r.VerifiedBy, r.Changed = gdpr.StateVerified, by, now
		return true
	})
}

// CancelRequest ends a request that nobody is at work on yet, and that has destroyed nothing.
func (v *Vault) CancelRequest(ctx context.Context, id [16]byte, reason string, now time.Time, said ...Saying) (bool, error) {
	done, err := v.changeRequestIn(ctx, "cancel a request", id, said, func(ctx context.Context, tx *sql.Tx, r *Request) (bool, error) {
		if r.State != gdpr.StateReceived && r.State != gdpr.StateVerified && r.State != gdpr.StateWaiting {
			return false, nil
		}
		// An erasure that has destroyed already is left alone: it would never be said in the log, so a restored vault would bring the person back. A forged row that
		// says so is an error, too.
		if _, destroyed, err := v.destroyedBy(ctx, tx, id); err != nil || destroyed {
			return false, err
		}
		r.State, r.Reason, r.identity, r.Changed = gdpr.StateCancelled, reason, nil, now
		return true, nil
	})
	if err != nil || !done {
		return false, err
	}
	return true, v.eraseFiles(ctx)
}

// NoteSubject keeps whose pseudonym a request is about.
func (v *Vault) NoteSubject(ctx context.Context, id [16]byte, subject gdpr.SubjectID) error {
	_, err := v.changeRequest(ctx, "note the subject of a request", id, nil, func(r *Request) bool {
		r.Subject = subject
		return true
	})
	return err
}

// DeferRequest lets a request in progress wait, with the reason.
func (v *Vault) DeferRequest(ctx context.Context, id [16]byte, reason string, until, now time.Time) (bool, error) {
	return v.changeRequest(ctx, "defer a request", id, nil, func(r *Request) bool {
		if r.State != gdpr.StateInProgress {
			return false
		}
		r.State, r.Reason, r.Resume, r.claimed, r.Changed = gdpr.StateWaiting, reason, until, time.Time{}, now
		return true
	})
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
	done, err := v.changeRequest(ctx, "end a request", id, nil, func(r *Request) bool { return r.end(e, now) })
	if err != nil || !done {
		return false, err
	}
	return true, v.eraseFiles(ctx)
}

// end returns false if a request is not in progress.
func (r *Request) end(e Ending, now time.Time) bool {
	if r.State != gdpr.StateInProgress {
		return false
	}
	r.State, r.Reason, r.Result, r.Resume, r.identity, r.claimed, r.Changed = e.State, e.Reason, e.Result, e.Unfinished, nil, time.Time{}, now
	return true
}

// UnfinishedResults returns the completed requests whose results are to be completed now.
func (v *Vault) UnfinishedResults(ctx context.Context, now time.Time) ([]Request, error) {
	return v.requests(ctx, requestColumns+` WHERE state = ? AND resume_micros > 0 AND resume_micros <= ? ORDER BY received_micros, id`, gdpr.StateCompleted, now.UnixMicro())
}

// DeferResult has a result completed later.
func (v *Vault) DeferResult(ctx context.Context, id [16]byte, until time.Time) error {
	_, err := v.change(ctx, "defer a result", deferResult, until.UnixMicro(), id[:], gdpr.StateCompleted)
	return err
}

// AmendResult completes a result, unless it is not what it was any more.
func (v *Vault) AmendResult(ctx context.Context, id [16]byte, was, result string) error {
	_, err := v.changeRequest(ctx, "amend a result", id, nil, func(r *Request) bool {
		if r.State != gdpr.StateCompleted || r.Result != was {
			return false
		}
		r.Result, r.Resume = result, time.Time{}
		return true
	})
	return err
}

// ExtendRequest moves the date at which a request is due, once: due is what it was.
func (v *Vault) ExtendRequest(ctx context.Context, id [16]byte, due, to, now time.Time, said ...Saying) (bool, error) {
	return v.changeRequest(ctx, "extend a request", id, said, func(r *Request) bool {
		if r.Due.UnixMicro() != due.UnixMicro() || r.identity == nil {
			return false
		}
		r.Due, r.Changed = to, now
		return true
	})
}

// changeRequest has change alter a request, unless it returns false, and notes what is to be said about it. ErrForged if the request is not ours.
func (v *Vault) changeRequest(ctx context.Context, doing string, id [16]byte, said []Saying, change func(r *Request) bool) (bool, error) {
	return v.changeRequestIn(ctx, doing, id, said, func(_ context.Context, _ *sql.Tx, r *Request) (bool, error) { return change(r), nil })
}

// changeRequestIn is changeRequest for those who must look at something else in the same transaction.
func (v *Vault) changeRequestIn(
	ctx context.Context, doing string, id [16]byte, said []Saying, change func(ctx context.Context, tx *sql.Tx, r *Request) (bool, error),
) (changed bool, err error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	err = v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		if changed, err = v.alterRequest(ctx, tx, id, change); err != nil || !changed {
			return err
		}
		return v.note(ctx, tx, said)
	})
	if err != nil {
		return false, v.failed(doing, err)
	}
	return changed, nil
}

// alterRequest is a part of a transaction.
func (v *Vault) alterRequest(ctx context.Context, tx *sql.Tx, id [16]byte, change func(ctx context.Context, tx *sql.Tx, r *Request) (bool, error)) (bool, error) {
	list, err := genuine(ctx, v, tx, scanRequest, requestColumns+` WHERE id = ?`+v.db.forUpdate(), id[:])
	if err != nil || len(list) == 0 {
		return false, err
	}
	r := &list[0]
	if changed, err := change(ctx, tx, r); err != nil || !changed {
		return false, err
	}
	var subject []byte
	if r.Subject != (gdpr.SubjectID{}) {
		subject = r.Subject[:]
	}
	_, err = tx.ExecContext(ctx, v.db.query(updateRequest), r.State, r.identity, subject, r.Options, r.VerifiedBy, r.Reason, r.Result, r.Due.UnixMicro(), r.Changed.UnixMicro(),
		microsOrZero(r.Resume), microsOrZero(r.claimed), v.mac(r), id[:])
	return err == nil, err
}

// change executes one statement that changes nothing a MAC covers, and says whether it has changed a row.
func (v *Vault) change(ctx context.Context, doing, query string, args ...any) (bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	n, err := v.db.exec(ctx, query, args...)
	if err != nil {
		return false, v.failed(doing, err)
	}
	return n > 0, nil
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
	// Forged ones too: their identities, if they open, are copies of ours, and nothing acts on them. They would keep the old generation in use.
	rows, err := collectWithMAC(ctx, v.db.read, scanRequest, v.db.query(oldRequests), generation)
	if err != nil {
		return err
	}
	return v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		for i := range rows {
			r := &rows[i].row
			old, err := ws.of(ctx, r.wrapped)
			if err != nil {
				return err
			}
			plain, err := old.unwrap(purposeRequest, r.ID[:], r.identity)
			if err != nil {
				return fmt.Errorf("request %s: %w", gdpr.SubjectID(r.ID), err)
			}
			identity := w.wrap(purposeRequest, r.ID[:], plain)
			clear(plain)
			if _, err := tx.ExecContext(ctx, v.db.query(rewrapRequest), generation, identity, r.ID[:], r.wrapped); err != nil {
				return err
			}
		}
		return nil
	})
}
