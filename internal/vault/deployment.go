package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// deploymentSecrets are made once in the life of a deployment: with another look-up key nobody would be found any more.
type deploymentSecrets struct {
	search, lookup, rows [32]byte
	// adopted is the newest version of the schema whose tables with MACs have them in all rows: see macTables.
	adopted byte
}

// Lengths of their stored form, unwrapped.
const (
	secretsBytes       = 97
	secretsBytesFirst  = 96 // of when the first tables had MACs, and adopted was always firstMACs
	secretsBytesBefore = 64 // of before rows had MACs
)

// open unwraps the secrets of a deployment's row; errNotAdopted if rows that should have a MAC have none yet, all others being there.
func (s *deploymentSecrets) open(w *wrapper, row *deploymentRow) error {
	plain, err := w.unwrap(purposeDeployment, []byte(row.name), row.secrets)
	if err != nil {
		return err
	}
	defer clear(plain)
	if len(plain) != secretsBytes && len(plain) != secretsBytesFirst && len(plain) != secretsBytesBefore {
		return fmt.Errorf("%w: the deployment's secrets have %d bytes", ErrDamaged, len(plain))
	}
	*s = deploymentSecrets{search: [32]byte(plain[:32]), lookup: [32]byte(plain[32:64])}
	if len(plain) == secretsBytesBefore {
		return errNotAdopted
	}
	s.rows, s.adopted = [32]byte(plain[64:96]), firstMACs
	if len(plain) == secretsBytes {
		s.adopted = plain[96]
	}
	switch {
	case s.adopted < latestMACs:
		return errNotAdopted
	case s.adopted > latestMACs:
		return fmt.Errorf("the vault belongs to a later version of this program: it has MACs of version %d, this program knows %d", s.adopted, latestMACs)
	}
	return nil
}

// wrapped is the inverse of open.
func (s *deploymentSecrets) wrapped(w *wrapper, deployment string) []byte {
	plain := slices.Concat(s.search[:], s.lookup[:], s.rows[:], []byte{s.adopted})
	defer clear(plain)
	return w.wrap(purposeDeployment, []byte(deployment), plain)
}

// makeRows makes the key of the rows' MACs.
func (s *deploymentSecrets) makeRows() { rand.Read(s.rows[:]) } // never fails

// Deployment returns the name that the vault was created with.
func (v *Vault) Deployment() string { return v.deployment }

// SearchKey returns the key of tokens that can be compared across subjects.
func (v *Vault) SearchKey() [32]byte { return v.secrets.search }

const (
	selectDeployment  = `SELECT name, generation, secrets FROM deployment`
	insertDeployment  = `INSERT INTO deployment (one, name, generation, secrets, days_kept, day_known) VALUES (1, ?, ?, ?, '', '') ON CONFLICT (one) DO NOTHING`
	selectGeneration  = `SELECT generation FROM deployment`
	insertFingerprint = `INSERT INTO key_generations (generation, fingerprint) VALUES (?, ?) ON CONFLICT (generation) DO NOTHING`
	selectFingerprint = `SELECT generation, fingerprint FROM key_generations ORDER BY generation`
)

type deploymentRow struct {
	name       string
	generation int
	secrets    []byte
}

// loadDeployment reads the deployment's row, creates it if there is none, and checks that name and keyring belong to it.
func (v *Vault) loadDeployment(ctx context.Context) error {
	row, err := v.readDeployment(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		if err := v.createDeployment(ctx); err != nil {
			return fmt.Errorf("create the deployment's secrets: %w", err)
		}
		row, err = v.readDeployment(ctx)
	}
	if err != nil {
		return fmt.Errorf("read the deployment: %w", err)
	}
	if row.name != v.deployment {
		return fmt.Errorf("this vault belongs to the deployment %q, not to %q: correct the deployment's name or the vault's address", row.name, v.deployment)
	}
	if err := v.checkKeyring(ctx); err != nil {
		return err
	}
	w, err := v.keys.wrapper(ctx, row.generation)
	if err != nil {
		return err
	}
	if err := v.secrets.open(w, &row); err != nil {
		return err
	}
	v.generation.Store(int64(row.generation))
	return nil
}

func (v *Vault) readDeployment(ctx context.Context) (row deploymentRow, err error) {
	err = v.db.read.QueryRowContext(ctx, selectDeployment).Scan(&row.name, &row.generation, &row.secrets)
	return row, err
}

// createDeployment makes the deployment's row. Of processes that do so at once, one wins.
func (v *Vault) createDeployment(ctx context.Context) error {
	w, err := v.keys.wrapper(ctx, v.keys.newest())
	if err != nil {
		return err
	}
	var made deploymentSecrets
	for _, secret := range []*[32]byte{&made.search, &made.lookup} {
		rand.Read(secret[:]) // never fails
	}
	made.makeRows() // rows that are there without a deployment are nobody's, and get no MACs
	made.adopted = latestMACs
	secrets := made.wrapped(w, v.deployment)
	return v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, v.db.query(insertDeployment), v.deployment, w.generation, secrets)
		if err != nil {
			return err
		}
		if created, err := result.RowsAffected(); err != nil || created == 0 {
			return err
		}
		if _, err := tx.ExecContext(ctx, v.db.query(insertFingerprint), w.generation, w.fingerprint()); err != nil {
			return err
		}
		// The one row that the schema itself has made.
		return storeSnapshot(ctx, v.db, tx, &made, &snapshotRow{places: noPlaces})
	})
}

// checkKeyring compares the keyring with the fingerprints of the generations that may be in use.
func (v *Vault) checkKeyring(ctx context.Context) error {
	used, err := v.usedGenerations(ctx)
	if err != nil {
		return fmt.Errorf("read the key generations: %w", err)
	}
	for _, generation := range used {
		w, err := v.keys.wrapper(ctx, generation.number)
		if err != nil {
			return err
		}
		same := bytes.Equal(w.fingerprint(), generation.fingerprint)
		if !same {
			return fmt.Errorf("%w: generation %d in the %s is another key; use the keyring that the vault was created with",
				ErrWrongKeyring, generation.number, v.keys.source)
		}
	}
	return nil
}

type usedGeneration struct {
	number      int
	fingerprint []byte
}

func (v *Vault) usedGenerations(ctx context.Context) ([]usedGeneration, error) {
	return collect(ctx, v.db.read, func(rows *sql.Rows, g *usedGeneration) error {
		return rows.Scan(&g.number, &g.fingerprint)
	}, selectFingerprint)
}
