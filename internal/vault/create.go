package vault

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// subjectsPerTransaction bounds how long other processes wait for the one writer of a SQLite file.
const subjectsPerTransaction = 2000

// subjectAttempts bounds how often a person is created again who was erased right after having been created.
const subjectAttempts = 5

// Subjects returns the subjects of ids, in their order, and creates those that are new, whoever else does so at the same time. Identities may repeat.
// When it returns, new subjects are on disk.
func (v *Vault) Subjects(ctx context.Context, ids []Identity) ([]Subject, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	hasher := newHasher(&v.secrets.lookup)
	hashes := make([]LookupHash, len(ids))
	missing := make(map[LookupHash]Identity, len(ids))
	for i, id := range ids {
		if err := id.check(); err != nil {
			return nil, fmt.Errorf("look up subjects: %w", err)
		}
		hashes[i] = hasher.identity(id)
		missing[hashes[i]] = id
	}
	found := make(map[LookupHash]Subject, len(missing))
	ws := v.keys.wrappers()
	if err := v.findSubjects(ctx, ws, missing, found); err != nil {
		return nil, v.failed("look up subjects", err)
	}
	for attempt := 1; len(missing) > 0; attempt++ {
		if attempt > subjectAttempts {
			return nil, fmt.Errorf("create subjects: %d were destroyed as soon as they had been created, %d times over: %w", len(missing), subjectAttempts, ErrUnavailable)
		}
		if err := v.createSubjects(ctx, ws, missing, found); err != nil {
			return nil, v.failed("create subjects", err)
		}
	}
	subjects := make([]Subject, len(ids))
	for i, h := range hashes {
		subjects[i] = found[h]
	}
	return subjects, nil
}

// findSubjects moves those who exist from missing to found.
func (v *Vault) findSubjects(ctx context.Context, ws *wrappers, missing map[LookupHash]Identity, found map[LookupHash]Subject) error {
	query := v.db.query(subjectKeyColumns + v.db.in("lookup"))
	for hashes := range slices.Chunk(sortedHashes(missing), subjectsPerTransaction) {
		rows, err := collect(ctx, v.db.read, scanSubjectKeys, query, v.db.set(hashSlices(hashes)))
		if err != nil {
			return err
		}
		for i := range rows {
			s, err := rows[i].subject(ctx, ws)
			if err != nil {
				return err
			}
			found[rows[i].lookup] = s
			delete(missing, rows[i].lookup)
		}
	}
	return nil
}

// createSubjects moves to found whom it creates, and whom somebody else has created since.
func (v *Vault) createSubjects(ctx context.Context, ws *wrappers, missing map[LookupHash]Identity, found map[LookupHash]Subject) error {
	for hashes := range slices.Chunk(sortedHashes(missing), subjectsPerTransaction) {
		made, rows, err := v.newSubjects(ctx, ws, hashes, missing)
		if err != nil {
			return err
		}
		created, err := v.insertSubjects(ctx, rows)
		if errors.Is(err, errOtherGeneration) {
			return nil // the caller tries again, with the generation that the vault uses now
		}
		if err != nil {
			return err
		}
		if created == int64(len(rows)) {
			for i, h := range hashes {
				found[h] = made[i]
				delete(missing, h)
			}
			continue
		}
		others := make(map[LookupHash]Identity, len(hashes))
		for _, h := range hashes {
			others[h] = missing[h]
		}
		if err := v.findSubjects(ctx, ws, others, found); err != nil {
			return err
		}
		for _, h := range hashes {
			if _, ok := found[h]; ok {
				delete(missing, h)
			}
		}
	}
	return nil
}

// newSubjects makes pseudonyms and keys for people.
func (v *Vault) newSubjects(ctx context.Context, ws *wrappers, hashes []LookupHash, who map[LookupHash]Identity) ([]Subject, []subjectRow, error) {
	w, err := ws.of(ctx, int(v.generation.Load()))
	if err != nil {
		return nil, nil, err
	}
	made, rows := make([]Subject, len(hashes)), make([]subjectRow, len(hashes))
	for i, h := range hashes {
		s, row := &made[i], &rows[i]
		s.ID, s.Keys = newUUID(), newKeys()
		*row = subjectRow{id: s.ID, lookup: h, keyID: s.Keys.ID}
		row.wrap(w, &s.Keys, who[h].encode())
	}
	return made, rows, nil
}

// errOtherGeneration: Rewrap has begun since; nothing may be wrapped under the older generation any more.
var errOtherGeneration = errors.New("the vault uses another key generation now")

func (v *Vault) insertSubjects(ctx context.Context, rows []subjectRow) (created int64, err error) {
	err = v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		if err := v.holdGeneration(ctx, tx, rows[0].wrapped); err != nil {
			return err
		}
		created, err = v.db.insertSubjects(ctx, tx, rows)
		return err
	})
	return created, err
}

// holdGeneration makes sure that the vault uses this key generation until tx ends.
func (v *Vault) holdGeneration(ctx context.Context, tx *sql.Tx, generation int) error {
	var current int
	if err := tx.QueryRowContext(ctx, selectGeneration+v.db.forShare()).Scan(&current); err != nil {
		return err
	}
	if current != generation {
		v.generation.Store(int64(current))
		return errOtherGeneration
	}
	return nil
}

// sortedHashes puts hashes into an order that is the same for everyone, so that transactions that add the same people do not wait for each other in a
// circle, and that visits the database's pages in their order.
func sortedHashes(people map[LookupHash]Identity) []LookupHash {
	hashes := make([]LookupHash, 0, len(people))
	for h := range people {
		hashes = append(hashes, h)
	}
	slices.SortFunc(hashes, func(a, b LookupHash) int { return bytes.Compare(a[:], b[:]) })
	return hashes
}

func hashSlices(hashes []LookupHash) [][]byte {
	list := make([][]byte, len(hashes))
	for i := range hashes {
		list[i] = hashes[i][:]
	}
	return list
}
