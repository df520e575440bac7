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
// When it returns, new subjects are on disk. A damaged row concerns nobody but its person: the error says ErrDamaged, and all the others are returned, with
// an empty Subject in the place of each such person.
func (v *Vault) Subjects(ctx context.Context, ids []Identity) ([]Subject, error) {
	s, places, err := v.search(ctx, ids, nil, false)
	if err != nil {
		return nil, err
	}
	return s.subjects(places)
}

// subjects is Subjects for those who keep late records apart. It also returns the points at which the subjects were there, and who of them was erased that
// is not among known; they are not created, and their places are empty.
func (v *Vault) subjects(ctx context.Context, ids []Identity, known suppressions) ([]Subject, []point, suppressions, error) {
	s, places, err := v.search(ctx, ids, known, true)
	if err != nil {
		return nil, nil, nil, err
	}
	subjects, err := s.subjects(places)
	return subjects, s.seen, s.late, err
}

// search finds or creates subjects. careful: not those who were erased, unless they are known.
func (v *Vault) search(ctx context.Context, ids []Identity, known suppressions, careful bool) (*search, []int, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	s, places, err := v.newSearch(ids)
	if err != nil {
		return nil, nil, fmt.Errorf("look up subjects: %w", err)
	}
	s.known, s.careful = known, careful
	all := s.missing()
	if err := s.find(ctx, all); err != nil {
		return nil, nil, v.failed("look up subjects", err)
	}
	// After the rows: who came back as a stranger was erased before that.
	if err := s.leaveOut(ctx, v.db.read, all); err != nil {
		return nil, nil, v.failed("look up who was erased", err)
	}
	for attempt := 1; ; attempt++ {
		missing := s.missing()
		if len(missing) == 0 {
			break
		}
		if attempt > subjectAttempts {
			return nil, nil, fmt.Errorf("create subjects: %d were destroyed as soon as they had been created, %d times over: %w", len(missing), subjectAttempts, ErrUnavailable)
		}
		if err := s.create(ctx, missing); err != nil {
			return nil, nil, v.failed("create subjects", err)
		}
	}
	return s, places, nil
}

// subjects returns who was found or made, in the places of those that were asked for.
func (s *search) subjects(places []int) ([]Subject, error) {
	subjects := make([]Subject, len(places))
	for i, place := range places {
		subjects[i] = s.people[place].subject
	}
	if s.damage != nil {
		return subjects, s.vault.failed(fmt.Sprintf("look up subjects: %d of %d", s.damaged, len(s.people)), s.damage)
	}
	return subjects, nil
}

// leaveOut settles, as nobody, those of hashes who were erased and are not known.
func (s *search) leaveOut(ctx context.Context, q queryer, hashes []LookupHash) error {
	if !s.careful {
		return nil
	}
	// Mostly there is nobody, and then thousands need not be looked for.
	if anybody, err := collect(ctx, q, scanBool, anySuppression); err != nil || len(anybody) == 0 {
		return err
	}
	for some := range slices.Chunk(hashes, subjectsPerTransaction) {
		found, err := s.vault.suppressed(ctx, q, some)
		if err != nil {
			return err
		}
		for h, suppression := range found {
			if known, ok := s.known[h]; ok && known.equal(suppression) {
				continue
			}
			if s.late == nil {
				s.late = suppressions{}
			}
			s.late[h] = suppression
			s.settle(h, Subject{})
		}
	}
	return nil
}

// search is a call of Subjects in progress.
type search struct {
	vault    *Vault
	wrappers *wrappers
	people   []sought
	place    map[LookupHash]int // in people
	// seen are the points at which subjects were there.
	seen []point
	// careful: those who were erased are left out unless they are known, and noted in late.
	careful     bool
	known, late suppressions
	// damaged counts the people whose rows do not open, and damage is why the last one did not.
	damaged int
	damage  error
}

// sought is a person to be found or created.
type sought struct {
	lookup  LookupHash
	who     Identity
	subject Subject
	settled bool // found, created or damaged
}

// newSearch collects people, each once, and returns the place of each of ids among them.
func (v *Vault) newSearch(ids []Identity) (*search, []int, error) {
	hasher := newHasher(&v.secrets.lookup)
	s := &search{vault: v, wrappers: v.keys.wrappers(), people: make([]sought, 0, len(ids)), place: make(map[LookupHash]int, len(ids))}
	places := make([]int, len(ids))
	for i, id := range ids {
		if err := id.check(); err != nil {
			return nil, nil, err
		}
		h := hasher.identity(id)
		place, ok := s.place[h]
		if !ok {
			place = len(s.people)
			s.place[h] = place
			s.people = append(s.people, sought{lookup: h, who: id})
		}
		places[i] = place
	}
	return s, places, nil
}

// missing returns those who are not settled, in an order that is the same for everyone, so that transactions that add the same people do not wait for each
// other in a circle, and that visits the database's pages in their order.
func (s *search) missing() []LookupHash {
	hashes := make([]LookupHash, 0, len(s.people))
	for i := range s.people {
		if !s.people[i].settled {
			hashes = append(hashes, s.people[i].lookup)
		}
	}
	slices.SortFunc(hashes, func(a, b LookupHash) int { return bytes.Compare(a[:], b[:]) })
	return hashes
}

func (s *search) settle(h LookupHash, subject Subject) {
	person := &s.people[s.place[h]]
	person.subject, person.settled = subject, true
}

// find settles those of hashes who exist.
func (s *search) find(ctx context.Context, hashes []LookupHash) error {
	db := s.vault.db
	query := db.query(locatedColumns + db.in("lookup"))
	for some := range slices.Chunk(hashes, subjectsPerTransaction) {
		rows, err := collect(ctx, db.read, scanLocated, query, db.set(hashSlices(some)))
		if err != nil {
			return err
		}
		for i := range rows {
			subject, err := rows[i].subject(ctx, s.wrappers)
			if err != nil && !errors.Is(err, ErrDamaged) {
				return err
			}
			if err != nil {
				s.damaged++
				s.damage = err
			}
			s.settle(rows[i].lookup, subject)
		}
		if len(rows) > 0 {
			s.seen = append(s.seen, rows[0].at)
		}
	}
	return nil
}

// create settles whom it creates, and whom somebody else has created since.
func (s *search) create(ctx context.Context, hashes []LookupHash) error {
	for some := range slices.Chunk(hashes, subjectsPerTransaction) {
		made, rows, err := s.newSubjects(ctx, some)
		if err != nil {
			return err
		}
		created, at, err := s.insertSubjects(ctx, some, rows)
		if errors.Is(err, errOtherGeneration) || errors.Is(err, errErasedMeanwhile) {
			return nil // the caller tries again, with the generation that the vault uses now
		}
		if err != nil {
			return err
		}
		if created < int64(len(rows)) {
			// Some are others' work. Which ones only the rows tell.
			if err := s.find(ctx, some); err != nil {
				return err
			}
			// And among them may be a stranger who came back meanwhile.
			if err := s.leaveOut(ctx, s.vault.db.read, some); err != nil {
				return err
			}
			continue
		}
		for i, h := range some {
			s.settle(h, made[i])
		}
		s.seen = append(s.seen, at)
	}
	return nil
}

// newSubjects makes pseudonyms and keys for people.
func (s *search) newSubjects(ctx context.Context, hashes []LookupHash) ([]Subject, []subjectRow, error) {
	w, err := s.wrappers.of(ctx, int(s.vault.generation.Load()))
	if err != nil {
		return nil, nil, err
	}
	made, rows := make([]Subject, len(hashes)), make([]subjectRow, len(hashes))
	for i, h := range hashes {
		subject, row := &made[i], &rows[i]
		subject.ID, subject.Keys = newUUID(), newKeys()
		*row = subjectRow{id: subject.ID, lookup: h, keyID: subject.Keys.ID}
		row.wrap(w, &subject.Keys, s.people[s.place[h]].who.encode())
	}
	return made, rows, nil
}

// errOtherGeneration: Rewrap has begun since; nothing may be wrapped under the older generation any more.
var errOtherGeneration = errors.New("the vault uses another key generation now")

// errErasedMeanwhile: somebody who was about to be created was erased since it was last looked.
var errErasedMeanwhile = errors.New("erased meanwhile")

// insertSubjects stores those of rows whose person is not there yet. It returns how many that were, and the point after it.
func (s *search) insertSubjects(ctx context.Context, hashes []LookupHash, rows []subjectRow) (created int64, at point, err error) {
	v := s.vault
	err = v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		if err := v.holdGeneration(ctx, tx, rows[0].wrapped); err != nil {
			return err
		}
		if created, err = v.db.insertSubjects(ctx, tx, rows); err != nil || created == 0 {
			return err
		}
		// Behind the insertion, which has waited for whoever was erasing the same people: now it shows.
		before := len(s.late)
		if err := s.leaveOut(ctx, tx, hashes); err != nil {
			return err
		}
		if len(s.late) > before {
			return errErasedMeanwhile
		}
		at, err = v.noteChange(ctx, tx, nil)
		return err
	})
	return created, at, err
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

func hashSlices(hashes []LookupHash) [][]byte {
	list := make([][]byte, len(hashes))
	for i := range hashes {
		list[i] = hashes[i][:]
	}
	return list
}
