package vault

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// ConsentChange is one thing that a person says about a purpose.
type ConsentChange struct {
	ID        [16]byte // see ConsentID; the same change comes once
	Purpose   string
	State     gdpr.ConsentState
	At        time.Time // kept in microseconds, UTC
	Reference string    // what shows that it was said; kept encrypted
}

// ConsentState is what a person has said last about a purpose. The zero value: nothing.
type ConsentState struct {
	State   gdpr.ConsentState
	Since   time.Time
	Changes int
}

var (
	// ErrOtherConsent: the id of a change is another change's.
	ErrOtherConsent = errors.New("another change of a consent has this id")
	// ErrTooManyConsents: the person's history is full. Whoever changes their mind so often is a program, or an attack.
	ErrTooManyConsents = errors.New("too many changes of this person's consents")

	// errConsentRepeated: another transaction with the same id was faster.
	errConsentRepeated = errors.New("the same change of a consent was stored at the same time")
)

// maxConsentChanges bounds what one person's consents take, over all purposes. A consent that is granted can be withdrawn beyond it.
const maxConsentChanges = 10_000

const (
	consentColumns       = `SELECT subject, purpose, state, since_micros, changes, mac FROM consents`
	consentChangeColumns = `SELECT id, subject, purpose, number, state, at_micros, reference, mac FROM consent_changes`
	countConsents        = `SELECT count(*) FROM consent_changes WHERE subject = ?`
	// checkConsent needs no key but that of the MAC: people are found by their look-up hash.
	checkConsent  = `SELECT c.subject, c.purpose, c.state, c.since_micros, c.changes, c.mac FROM subjects s JOIN consents c ON c.subject = s.id WHERE s.lookup = ? AND c.purpose = ?`
	insertConsent = `INSERT INTO consents (subject, purpose, state, since_micros, changes, mac) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (subject, purpose) DO NOTHING`
	updateConsent = `UPDATE consents SET state = ?, since_micros = ?, changes = ?, mac = ? WHERE subject = ? AND purpose = ?`

	insertConsentChange = `INSERT INTO consent_changes (id, subject, purpose, number, state, at_micros, reference, mac) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`
	consentHistory      = consentChangeColumns + ` WHERE subject = ? ORDER BY purpose, number`
)

// consentAttempts bounds how often a change is tried again that met an erasure, or itself.
const consentAttempts = 5

// ConsentID returns the id of a change for the caller's own id of it: the same for the same, and nothing can be told from it. Without one it is random.
func (v *Vault) ConsentID(caller string) [16]byte {
	if caller == "" {
		return newUUID()
	}
	mac := hmac.New(sha256.New, v.secrets.lookup[:])
	// No look-up hash begins like that: a tenant has no slash.
	mac.Write([]byte("agentaudit/consent/v1\x00"))
	mac.Write([]byte(caller))
	id := [16]byte(mac.Sum(nil))
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // a UUID of version 8 (RFC 9562)
	return id
}

// ChangeConsent stores what a person says about a purpose, and what is to be said about it, for which it asks with the pseudonym. Changes of one consent are
// put in an order, whoever makes them, and the last one holds. Somebody unknown who grants something becomes known; of somebody unknown nothing is withdrawn,
// and found is false. If the change is there already, added is false.
func (v *Vault) ChangeConsent(ctx context.Context, who Identity, c ConsentChange, say func(gdpr.SubjectID) (Saying, error)) (state ConsentState, found, added bool, err error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	for attempt := 1; ; attempt++ {
		subject, found, err := v.consenting(ctx, who, c.State)
		if err != nil || !found {
			return ConsentState{}, false, false, err
		}
		state, found, added, err = v.changeConsent(ctx, &subject, &c, say)
		subject.Keys.Wipe()
		switch {
		case err == nil && found:
			return state, true, added, nil
		case err != nil && !errors.Is(err, errConsentRepeated):
			return ConsentState{}, false, false, v.failed("change a consent", err)
		case attempt == consentAttempts:
			return ConsentState{}, false, false, v.failed("change a consent", ErrUnavailable)
		}
	}
}

// consenting finds whose consent it is.
func (v *Vault) consenting(ctx context.Context, who Identity, state gdpr.ConsentState) (Subject, bool, error) {
	if state != gdpr.ConsentGranted {
		return v.Find(ctx, who)
	}
	subjects, err := v.Subjects(ctx, []Identity{who})
	if err != nil {
		return Subject{}, false, err
	}
	return subjects[0], true, nil
}

// changeConsent returns found = false if the person was erased meanwhile.
func (v *Vault) changeConsent(ctx context.Context, s *Subject, c *ConsentChange, say func(gdpr.SubjectID) (Saying, error)) (state ConsentState, found, added bool, err error) {
	said, err := say(s.ID)
	if err != nil {
		return ConsentState{}, false, false, err
	}
	err = v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		state, found, added = ConsentState{}, false, false
		// The person stays until the end of the transaction: a consent of somebody who is gone would never go.
		there, err := collect(ctx, tx, scanID, v.db.query(`SELECT id FROM subjects WHERE id = ?`+v.db.forShare()), s.ID[:])
		if err != nil || len(there) == 0 {
			return err
		}
		found = true
		before, err := v.consentChange(ctx, tx, c.ID)
		if err != nil {
			return err
		}
		if len(before) == 0 {
			added = true
			if err := v.consentFits(ctx, tx, s.ID, c); err != nil {
				return err
			}
			if err := v.appendConsent(ctx, tx, s, c, said); err != nil {
				return err
			}
		} else if b := &before[0]; b.subject != s.ID || b.purpose != c.Purpose || b.state != c.State {
			return ErrOtherConsent
		}
		now, err := v.consentNow(ctx, tx, s.ID, c.Purpose)
		if err == nil && now == nil {
			err = fmt.Errorf("%w: a consent has a history and no state", ErrDamaged)
		}
		if err != nil {
			return err
		}
		state = now.ConsentState
		return nil
	})
	return state, found, added, err
}

// RestoreConsent notes a change that the log has and a vault that was restored has lost, without its reference, which is nowhere else. It is no error if it is
// there, or the person is not.
func (v *Vault) RestoreConsent(ctx context.Context, subject gdpr.SubjectID, c ConsentChange) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	c.Reference = ""
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		there, err := collect(ctx, tx, scanID, v.db.query(`SELECT id FROM subjects WHERE id = ?`+v.db.forShare()), subject[:])
		if err != nil || len(there) == 0 {
			return err
		}
		before, err := v.consentChange(ctx, tx, c.ID)
		if err != nil || len(before) > 0 {
			return err
		}
		return v.appendConsent(ctx, tx, &Subject{ID: subject}, &c)
	})
	if err != nil && !errors.Is(err, errConsentRepeated) {
		return v.failed("restore a consent", err)
	}
	return nil
}

// KnownConsents returns those of some changes of consents that are there.
func (v *Vault) KnownConsents(ctx context.Context, changes [][16]byte) (map[[16]byte]bool, error) {
	return thoseIn(ctx, v, `SELECT id FROM consent_changes WHERE `, "id", changes)
}

// appendConsent adds a change as the last one, and what is to be said about it. The caller holds the person.
func (v *Vault) appendConsent(ctx context.Context, tx *sql.Tx, s *Subject, c *ConsentChange, said ...Saying) error {
	number, err := v.nextConsent(ctx, tx, s.ID, c)
	if err != nil {
		return err
	}
	var reference []byte
	if c.Reference != "" {
		place := consentPlace(s.ID, c.ID)
		reference = consentWrapper(s).wrap(purposeConsent, place[:], []byte(c.Reference))
	}
	row := consentRow{id: c.ID, subject: s.ID, purpose: c.Purpose, number: number, state: c.State, at: c.At, reference: reference}
	result, err := tx.ExecContext(ctx, v.db.query(insertConsentChange), c.ID[:], s.ID[:], c.Purpose, number, c.State, c.At.UnixMicro(), reference, v.mac(&row))
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		err = errConsentRepeated
	}
	if err != nil {
		return err
	}
	return v.note(ctx, tx, said)
}

// nextConsent makes a change the state that holds, and returns its number. It puts the changes of one consent in order: the first one inserts the row, and each later
// one holds it until the end of its transaction.
func (v *Vault) nextConsent(ctx context.Context, tx *sql.Tx, subject gdpr.SubjectID, c *ConsentChange) (int64, error) {
	next := consentNow{subject, c.Purpose, ConsentState{State: c.State, Since: c.At, Changes: 1}}
	before, err := v.consentNow(ctx, tx, subject, c.Purpose)
	if err != nil {
		return 0, err
	}
	if before == nil {
		result, err := tx.ExecContext(ctx, v.db.query(insertConsent), subject[:], c.Purpose, next.State, next.Since.UnixMicro(), next.Changes, v.mac(&next))
		if err != nil {
			return 0, err
		}
		if n, err := result.RowsAffected(); err != nil || n == 1 {
			return 1, err
		}
		// Another transaction was first with this consent.
		if before, err = v.consentNow(ctx, tx, subject, c.Purpose); err == nil && before == nil {
			err = errConsentRepeated
		}
		if err != nil {
			return 0, err
		}
	}
	next.Changes = before.Changes + 1
	if before.State == next.State {
		next.Since = before.Since
	}
	_, err = tx.ExecContext(ctx, v.db.query(updateConsent), next.State, next.Since.UnixMicro(), next.Changes, v.mac(&next), subject[:], c.Purpose)
	return int64(next.Changes), err
}

// consentNow returns what holds, and holds it until the end of the transaction; nil: nothing was ever said.
func (v *Vault) consentNow(ctx context.Context, tx *sql.Tx, subject gdpr.SubjectID, purpose string) (*consentNow, error) {
	list, err := genuine(ctx, v, tx, scanConsent, consentColumns+` WHERE subject = ? AND purpose = ?`+v.db.forUpdate(), subject[:], purpose)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// consentChange returns a change by its id, or nothing.
func (v *Vault) consentChange(ctx context.Context, tx *sql.Tx, id [16]byte) ([]consentRow, error) {
	return genuine(ctx, v, tx, scanConsentRow, consentChangeColumns+` WHERE id = ?`, id[:])
}

// consentFits refuses more than a person can mean. Withdrawing what is granted always fits.
func (v *Vault) consentFits(ctx context.Context, tx *sql.Tx, subject gdpr.SubjectID, c *ConsentChange) error {
	n, err := collect(ctx, tx, scanCount, v.db.query(countConsents), subject[:])
	if err != nil || n[0] < maxConsentChanges {
		return err
	}
	now, err := v.consentNow(ctx, tx, subject, c.Purpose)
	if err != nil {
		return err
	}
	if c.State == gdpr.ConsentWithdrawn && now != nil && now.State == gdpr.ConsentGranted {
		return nil
	}
	return ErrTooManyConsents
}

// consentWrapper encrypts references under a key of the person's: it goes with the person, in every backup too, and does not change when the key-encryption
// key does. No message under it begins like those that contents are sealed under.
func consentWrapper(s *Subject) *wrapper { return newWrapper(0, &s.Keys.Content) }

func consentPlace(subject gdpr.SubjectID, change [16]byte) (place [32]byte) {
	copy(place[:16], subject[:])
	copy(place[16:], change[:])
	return place
}

// consentNow is a row of what holds.
type consentNow struct {
	subject gdpr.SubjectID
	purpose string
	ConsentState
}

func (c *consentNow) describe(t *rowText) {
	t.beginNamed("consents", shownKey(c.subject[:])+" "+shownName(c.purpose))
	t.bytes(c.subject[:])
	t.string(c.purpose)
	t.string(string(c.State))
	t.time(c.Since)
	t.number(int64(c.Changes))
}

func scanConsent(rows scanner, c *consentNow) error {
	return rows.Scan(fixed(c.subject[:]), &c.purpose, &c.State, microTime{&c.Since}, &c.Changes)
}

// Consent returns what a person has said last about a purpose; the zero value if that is nothing, or nobody of that name is known.
func (v *Vault) Consent(ctx context.Context, who Identity, purpose string) (ConsentState, error) {
	if who.check() != nil {
		return ConsentState{}, nil // nobody like that is ever created
	}
	h := newHasher(&v.secrets.lookup).identity(who)
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	states, err := genuine(ctx, v, v.db.read, scanConsent, checkConsent, h[:], purpose)
	if err := v.db.settled(err); err != nil {
		return ConsentState{}, v.failed("read a consent", err)
	}
	if len(states) == 0 {
		return ConsentState{}, nil
	}
	return states[0].ConsentState, nil
}

// Consents returns what a person has said about each purpose, by purpose. Of somebody unknown there is nothing.
func (v *Vault) Consents(ctx context.Context, subject gdpr.SubjectID) ([]gdpr.Consent, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	people, err := collect(ctx, v.db.read, scanSubjectKeys, v.db.query(subjectKeyColumns+"id = ?"), subject[:])
	if err != nil {
		return nil, v.failed("read consents", err)
	}
	if len(people) == 0 {
		return nil, nil
	}
	s, err := people[0].subject(ctx, v.keys.wrappers())
	if err != nil {
		return nil, v.failed("read consents", err)
	}
	defer s.Keys.Wipe()
	rows, err := genuine(ctx, v, v.db.read, scanConsentRow, consentHistory, subject[:])
	if err != nil {
		return nil, v.failed("read consents", err)
	}
	var list []gdpr.Consent
	w := consentWrapper(&s)
	for i := range rows {
		change, err := rows[i].change(w, subject)
		if err != nil {
			return nil, v.failed("read consents", err)
		}
		if n := len(list); n == 0 || list[n-1].Purpose != rows[i].purpose {
			list = append(list, gdpr.Consent{Purpose: rows[i].purpose})
		}
		last := &list[len(list)-1]
		if last.State != change.State {
			last.State, last.Since = change.State, change.At
		}
		last.Changes++
		last.History = append(last.History, change)
	}
	return list, nil
}

type consentRow struct {
	id        [16]byte
	subject   gdpr.SubjectID
	purpose   string
	number    int64
	state     gdpr.ConsentState
	at        time.Time
	reference []byte
}

// describe leaves out what the reference says: it opens at this row only.
func (r *consentRow) describe(t *rowText) {
	t.begin("consent_changes", r.id)
	t.bytes(r.subject[:])
	t.string(r.purpose)
	t.number(r.number)
	t.string(string(r.state))
	t.time(r.at)
	t.present(r.reference)
}

func scanConsentRow(rows scanner, r *consentRow) error {
	return rows.Scan(fixed(r.id[:]), fixed(r.subject[:]), &r.purpose, &r.number, &r.state, microTime{&r.at}, &r.reference)
}

func (r *consentRow) change(w *wrapper, subject gdpr.SubjectID) (gdpr.ConsentChange, error) {
	change := gdpr.ConsentChange{ID: uuid.UUID(r.id).String(), State: r.state, At: r.at}
	if len(r.reference) == 0 {
		return change, nil
	}
	place := consentPlace(subject, r.id)
	plain, err := w.unwrap(purposeConsent, place[:], r.reference)
	change.Reference = string(plain)
	return change, err
}
