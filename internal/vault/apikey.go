package vault

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"time"
)

// APIKey is what is known of a key of those who ask over HTTP. The key itself is not.
type APIKey struct {
	ID      [16]byte
	Hash    [32]byte // SHA-256 of the key
	Role    string
	Tenant  string // all that it sees; empty: everything
	Name    string // for people
	Added   time.Time
	Expires time.Time // zero: it does not
	Revoked time.Time // zero: it is not
	Used    time.Time // the hour in which it was last used; zero: never
}

// Active says whether the key counts at a time.
func (k *APIKey) Active(now time.Time) bool {
	return k.Revoked.IsZero() && (k.Expires.IsZero() || now.Before(k.Expires))
}

// ErrNotActive: the key is unknown, was revoked, has expired, or is forged, which Config.Forged was told.
var ErrNotActive = errors.New("the API key is unknown, revoked or expired")

const (
	callerColumns = `SELECT id, hash, role, tenant, name, added_micros, expires_micros, revoked_micros, used_micros, mac FROM api_keys`
	insertCaller  = `INSERT INTO api_keys (id, hash, role, tenant, name, added_micros, expires_micros, mac) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	revokeCaller  = `UPDATE api_keys SET revoked_micros = ?, mac = ? WHERE id = ?`
	touchCaller   = `UPDATE api_keys SET used_micros = ? WHERE id = ? AND used_micros < ?`
)

// describe leaves out when the key was last used: that decides nothing, and is noted while others read the row.
func (k *APIKey) describe(t *rowText) {
	t.begin("api_keys", k.ID)
	t.bytes(k.Hash[:])
	t.string(k.Role)
	t.string(k.Tenant)
	t.string(k.Name)
	t.time(k.Added)
	t.time(k.Expires)
	t.time(k.Revoked)
}

func scanAPIKey(rows scanner, k *APIKey) error {
	err := rows.Scan(fixed(k.ID[:]), fixed(k.Hash[:]), &k.Role, &k.Tenant, &k.Name, microTime{&k.Added}, microTime{&k.Expires}, microTime{&k.Revoked}, microTime{&k.Used})
	if err != nil {
		return err
	}
	for _, t := range []*time.Time{&k.Expires, &k.Revoked, &k.Used} {
		if t.UnixMicro() == 0 {
			*t = time.Time{}
		}
	}
	return nil
}

// AddAPIKey stores a key, and returns false if it was stored before: it then stays as it is, revoked or not.
func (v *Vault) AddAPIKey(ctx context.Context, k APIKey, said ...Saying) (bool, error) {
	if k.Role == "" || k.ID == [16]byte{} || k.Hash == [32]byte{} {
		return false, errors.New("store an API key: it has no id, hash or role")
	}
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	k.Revoked = time.Time{}
	added, err := v.changeAndNote(ctx, said, insertCaller, k.ID[:], k.Hash[:], k.Role, k.Tenant, k.Name, k.Added.UnixMicro(), microsOrZero(k.Expires), v.mac(&k))
	if err != nil {
		return false, v.failed("store an API key", err)
	}
	return added, nil
}

// RevokeAPIKey ends a key for ever, and returns false if there is none that was not revoked. Whoever is using it is refused from then on.
func (v *Vault) RevokeAPIKey(ctx context.Context, id [16]byte, at time.Time, said ...Saying) (bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	revoked := false
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		revoked = false
		list, err := genuine(ctx, v, tx, scanAPIKey, callerColumns+` WHERE id = ?`+v.db.forUpdate(), id[:])
		if err != nil || len(list) == 0 || !list[0].Revoked.IsZero() {
			return err
		}
		key := &list[0]
		key.Revoked = at
		if _, err := tx.ExecContext(ctx, v.db.query(revokeCaller), at.UnixMicro(), v.mac(key), id[:]); err != nil {
			return err
		}
		revoked = true
		return v.note(ctx, tx, said)
	})
	if err != nil {
		return false, v.failed("revoke an API key", err)
	}
	return revoked, nil
}

// APIKeys returns all keys, also revoked and expired ones, by the time at which they were added. Forged ones are not among them, and count nowhere.
func (v *Vault) APIKeys(ctx context.Context) ([]APIKey, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := onlyGenuine(ctx, v, v.db.read, scanAPIKey, callerColumns+` ORDER BY added_micros, id`)
	if err != nil {
		return nil, v.failed("read the API keys", err)
	}
	return list, nil
}

// APIKey returns the key with a hash; ErrNotActive if there is none that counts now.
func (v *Vault) APIKey(ctx context.Context, hash [32]byte, now time.Time) (APIKey, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := onlyGenuine(ctx, v, v.db.read, scanAPIKey, callerColumns+` WHERE hash = ?`, hash[:])
	// What a replaced database file says does not count: the key may be revoked in the one that took its place.
	if err := v.db.settled(err); err != nil {
		return APIKey{}, v.failed("look up an API key", err)
	}
	if len(list) != 1 || subtle.ConstantTimeCompare(list[0].Hash[:], hash[:]) != 1 || !list[0].Active(now) {
		return APIKey{}, ErrNotActive
	}
	return list[0], nil
}

// UseAPIKey notes what is to be said about a use of a key, in one transaction with a look at whether the key still counts: ErrNotActive if it does not, and then
// nothing is noted. What was asked with the key may be answered once UseAPIKey has returned nil, and not before.
func (v *Vault) UseAPIKey(ctx context.Context, id [16]byte, now time.Time, said ...Saying) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	hour := now.Truncate(time.Hour).UnixMicro()
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		list, err := onlyGenuine(ctx, v, tx, scanAPIKey, callerColumns+` WHERE id = ?`+v.db.forShare(), id[:])
		if err != nil {
			return err
		}
		if len(list) != 1 || !list[0].Active(now) {
			return ErrNotActive
		}
		if list[0].Used.UnixMicro() < hour {
			if _, err := tx.ExecContext(ctx, v.db.query(touchCaller), hour, id[:], hour); err != nil {
				return err
			}
		}
		return v.note(ctx, tx, said)
	})
	if errors.Is(err, ErrNotActive) {
		return err
	}
	if err != nil {
		return v.failed("note the use of an API key", err)
	}
	return nil
}
