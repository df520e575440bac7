package vault

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// KeysByID returns those of the keys that still exist, subjects' and days' alike.
func (v *Vault) KeysByID(ctx context.Context, ids []gdpr.KeyID) (map[gdpr.KeyID]gdpr.Keys, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	found := make(map[gdpr.KeyID]gdpr.Keys, len(ids))
	ws := v.keys.wrappers()
	for some := range slices.Chunk(ids, subjectsPerTransaction) {
		set := make([][]byte, len(some))
		for i := range some {
			set[i] = some[i][:]
		}
		if err := v.subjectKeys(ctx, ws, v.db.set(set), found); err != nil {
			return nil, v.failed("look up subjects' keys", err)
		}
		if err := v.dayKeys(ctx, ws, v.db.set(set), found); err != nil {
			return nil, v.failed("look up keys of days", err)
		}
	}
	return found, nil
}

func (v *Vault) subjectKeys(ctx context.Context, ws *wrappers, set any, found map[gdpr.KeyID]gdpr.Keys) error {
	rows, err := collect(ctx, v.db.read, scanSubjectKeys, v.db.query(subjectKeyColumns+v.db.in("key_id")), set)
	if err != nil {
		return err
	}
	for i := range rows {
		s, err := rows[i].subject(ctx, ws)
		if err != nil {
			return err
		}
		found[s.Keys.ID] = s.Keys
	}
	return nil
}

func (v *Vault) dayKeys(ctx context.Context, ws *wrappers, set any, found map[gdpr.KeyID]gdpr.Keys) error {
	rows, err := collect(ctx, v.db.read, scanDayKey, v.db.query(dayKeyColumns+v.db.in("key_id")), set)
	if err != nil {
		return err
	}
	for i := range rows {
		keys, err := rows[i].unwrapped(ctx, ws)
		if err != nil {
			return err
		}
		found[keys.ID] = keys
	}
	return nil
}

// newKeys makes a pair of keys with its id.
func newKeys() gdpr.Keys {
	keys := gdpr.Keys{ID: newUUID()}
	rand.Read(keys.Content[:]) // never fails
	rand.Read(keys.Token[:])
	return keys
}

// newUUID makes a random UUID (version 4, RFC 9562, 5.4).
func newUUID() (id [16]byte) {
	rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

func keyBytes(keys *gdpr.Keys) (plain [64]byte) {
	copy(plain[:32], keys.Content[:])
	copy(plain[32:], keys.Token[:])
	return plain
}

// keysOf is the inverse of keyBytes; it overwrites plain.
func keysOf(id gdpr.KeyID, plain []byte) (gdpr.Keys, error) {
	defer clear(plain)
	if len(plain) != 64 {
		return gdpr.Keys{}, fmt.Errorf("%w: keys of %d bytes", ErrDamaged, len(plain))
	}
	return gdpr.Keys{ID: id, Content: [32]byte(plain[:32]), Token: [32]byte(plain[32:])}, nil
}
