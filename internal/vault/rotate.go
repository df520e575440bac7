package vault

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// rewrapBatch bounds a transaction of Rewrap: how long others wait for it, and what is lost when it fails.
const rewrapBatch = 500

// rewrapped is a row of subjects under its new generation.
type rewrapped struct {
	id             gdpr.SubjectID
	from           int // generation before
	keys, identity []byte
}

const (
	holdDeployment   = `UPDATE deployment SET generation = generation` // as good as a lock, on both engines
	updateDeployment = `UPDATE deployment SET generation = ?, secrets = ?`
	oldSubjects      = subjectColumns + `wrapped < ? ORDER BY wrapped LIMIT ?`
	oldDayKeys       = dayKeyColumns + `wrapped < ?`
	updateDayKey     = `UPDATE day_keys SET wrapped = ?, keys = ? WHERE day = ? AND wrapped = ?`
	wrappedUnder     = `SELECT EXISTS (SELECT 1 FROM deployment WHERE generation = ?) OR EXISTS (SELECT 1 FROM day_keys WHERE wrapped = ?)
		OR EXISTS (SELECT 1 FROM subjects WHERE wrapped = ?) OR EXISTS (SELECT 1 FROM requests WHERE wrapped = ? AND identity IS NOT NULL)
		OR EXISTS (SELECT 1 FROM exports WHERE wrapped = ? AND secret IS NOT NULL)`
	deleteFingerprint = `DELETE FROM key_generations WHERE generation = ?`
)

// Rotation is what Rotate has done.
type Rotation struct {
	Added     int   // number of the new generation; 0: the newest was young enough
	Rewrapped int   // subjects
	Retired   []int // generations
}

// Rotate replaces the key-encryption key if it has reached an age: it adds a generation to the keyring, rewraps what the vault has, and retires all older
// generations, so that backups from before are noise. Interrupted, it goes on the next time. Only for keyrings that all processes read from the same file:
// others would not find the new generation.
func (v *Vault) Rotate(ctx context.Context, age time.Duration) (done Rotation, err error) {
	if done.Added, err = v.keys.rotateIfOlder(ctx, age); err != nil {
		return done, err
	}
	if len(v.keys.Generations()) == 1 {
		return done, nil
	}
	if done.Rewrapped, err = v.Rewrap(ctx); err != nil {
		return done, err
	}
	done.Retired, err = v.RetireOld(ctx)
	return done, err
}

// AddKeyGeneration is the first step of Rotate by itself: see Keyring.Rotate.
func (v *Vault) AddKeyGeneration(ctx context.Context) (int, error) { return v.keys.Rotate(ctx) }

// RetireOld retires all generations but the newest, and returns which.
func (v *Vault) RetireOld(ctx context.Context) (retired []int, err error) {
	generations := v.keys.Generations()
	for _, old := range generations[:len(generations)-1] {
		if err := v.Retire(ctx, old.Number); err != nil {
			return retired, err
		}
		retired = append(retired, old.Number)
	}
	return retired, nil
}

// KeyGenerations returns the generations of the key-encryption key that the keyring has, oldest first.
func (v *Vault) KeyGenerations() []KeyGeneration { return v.keys.Generations() }

// Rewrap makes the keyring's newest generation the one that everything is wrapped under: first for what is new, in all processes, then for what is there,
// in short transactions beside normal work. It returns the number of subjects that it rewrapped. After an error it can be called again and goes on.
func (v *Vault) Rewrap(ctx context.Context) (subjects int, err error) {
	if err := v.keys.reload(ctx); err != nil {
		return 0, err
	}
	newest := v.keys.newest()
	if err := v.useGeneration(ctx, newest); err != nil {
		return 0, v.failed(fmt.Sprintf("begin to use key generation %d", newest), err)
	}
	if err := v.rewrapDayKeys(ctx, newest); err != nil {
		return 0, v.failed("rewrap keys of days", err)
	}
	if err := v.rewrapRequests(ctx, newest); err != nil {
		return 0, v.failed("rewrap requests", err)
	}
	if err := v.rewrapExports(ctx, newest); err != nil {
		return 0, v.failed("rewrap exports", err)
	}
	for {
		read, done, err := v.rewrapSome(ctx, newest)
		subjects += done
		if err != nil {
			return subjects, v.failed("rewrap subjects", err)
		}
		if read < rewrapBatch {
			return subjects, nil
		}
	}
}

// useGeneration rewraps the deployment's secrets and makes every process wrap under this generation from now on.
func (v *Vault) useGeneration(ctx context.Context, generation int) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	ws := v.keys.wrappers()
	w, err := ws.of(ctx, generation)
	if err != nil {
		return err
	}
	err = v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, holdDeployment); err != nil {
			return err
		}
		var row deploymentRow
		if err := tx.QueryRowContext(ctx, selectDeployment).Scan(&row.name, &row.generation, &row.secrets); err != nil {
			return err
		}
		if row.generation > generation {
			return fmt.Errorf("%w: the vault uses generation %d already, the newest in the %s is %d", ErrWrongKeyring, row.generation, v.keys.source, generation)
		}
		if row.generation == generation {
			return nil
		}
		old, err := ws.of(ctx, row.generation)
		if err != nil {
			return err
		}
		plain, err := old.unwrap(purposeDeployment, []byte(row.name), row.secrets)
		if err != nil {
			return err
		}
		defer clear(plain)
		secrets := w.wrap(purposeDeployment, []byte(row.name), plain)
		if _, err := tx.ExecContext(ctx, v.db.query(insertFingerprint), generation, w.fingerprint()); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, v.db.query(updateDeployment), generation, secrets)
		return err
	})
	if err == nil {
		v.generation.Store(int64(generation))
	}
	return err
}

// rewrapSome rewraps some subjects of older generations, and says how many it read and how many it changed. A row that somebody else changed or deleted
// since it was read stays as it is.
func (v *Vault) rewrapSome(ctx context.Context, generation int) (read, done int, err error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	ws := v.keys.wrappers()
	w, err := ws.of(ctx, generation)
	if err != nil {
		return 0, 0, err
	}
	rows, err := collect(ctx, v.db.read, scanSubject, v.db.query(oldSubjects), generation, rewrapBatch)
	if err != nil || len(rows) == 0 {
		return 0, 0, err
	}
	changed := make([]rewrapped, len(rows))
	for i := range rows {
		if changed[i], err = rows[i].rewrap(ctx, ws, w); err != nil {
			return 0, 0, err
		}
	}
	var updated int64
	err = v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		updated, err = v.db.rewrapSubjects(ctx, tx, generation, changed)
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	return len(rows), int(updated), nil
}

// rewrap decrypts the row's values and encrypts them under w.
func (r *subjectRow) rewrap(ctx context.Context, ws *wrappers, w *wrapper) (rewrapped, error) {
	old, err := ws.of(ctx, r.wrapped)
	if err != nil {
		return rewrapped{}, err
	}
	place := r.place()
	keys, err := old.unwrap(purposeSubjectKeys, place[:], r.keys)
	if err != nil {
		return rewrapped{}, fmt.Errorf("subject %s: %w", r.id, err)
	}
	defer clear(keys)
	identity, err := old.unwrap(purposeIdentity, place[:], r.identity)
	if err != nil {
		return rewrapped{}, fmt.Errorf("subject %s: %w", r.id, err)
	}
	defer clear(identity)
	return rewrapped{
		id: r.id, from: r.wrapped,
		keys:     w.wrap(purposeSubjectKeys, place[:], keys),
		identity: w.wrap(purposeIdentity, place[:], identity),
	}, nil
}

// rewrapDayKeys does all of them in one transaction: there are some thirty.
func (v *Vault) rewrapDayKeys(ctx context.Context, generation int) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	ws := v.keys.wrappers()
	w, err := ws.of(ctx, generation)
	if err != nil {
		return err
	}
	rows, err := collect(ctx, v.db.read, scanDayKey, v.db.query(oldDayKeys), generation)
	if err != nil {
		return err
	}
	return v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		for i := range rows {
			keys, err := rows[i].unwrapped(ctx, ws)
			if err != nil {
				return err
			}
			row := dayKeyRow{day: rows[i].day, keyID: rows[i].keyID}
			row.wrap(w, &keys)
			keys.Wipe()
			if _, err := tx.ExecContext(ctx, v.db.query(updateDayKey), row.wrapped, row.keys, row.day, rows[i].wrapped); err != nil {
				return err
			}
		}
		return nil
	})
}

// Retire removes a generation from the keyring, for ever: whatever a backup of the vault still holds under it is lost, which is the purpose.
// ErrGenerationInUse while anything in the vault is wrapped under it.
func (v *Vault) Retire(ctx context.Context, generation int) error {
	doing := fmt.Sprintf("retire key generation %d", generation)
	if err := v.releaseGeneration(ctx, generation); err != nil {
		return v.failed(doing, err)
	}
	if err := v.keys.drop(ctx, generation); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// releaseGeneration forgets a generation that nothing is wrapped under. Nothing will be again: new rows are wrapped under the deployment's generation
// only, and that never goes back.
func (v *Vault) releaseGeneration(ctx context.Context, generation int) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	if generation >= v.keys.newest() {
		return fmt.Errorf("%w: it is the newest", ErrGenerationInUse)
	}
	return v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, holdDeployment); err != nil {
			return err
		}
		var used bool
		if err := tx.QueryRowContext(ctx, v.db.query(wrappedUnder), generation, generation, generation, generation, generation).Scan(&used); err != nil {
			return err
		}
		if used {
			return fmt.Errorf("%w: rewrap the vault first", ErrGenerationInUse)
		}
		_, err := tx.ExecContext(ctx, v.db.query(deleteFingerprint), generation)
		return err
	})
}
