package vault

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// kekBytes is the size of a key-encryption key.
const kekBytes = 32

// KeyGeneration is one key-encryption key. A higher number is newer.
type KeyGeneration struct {
	Number  int
	Created time.Time // UTC
}

// Keyring holds the generations of the key-encryption key, and knows where they are stored, so that a process finds a generation that was added after
// it started. It is safe for concurrent use.
type Keyring struct {
	source keySource

	// mu guards generations, oldest first. It is never held during I/O.
	mu          sync.RWMutex
	generations []keyGeneration
}

type keyGeneration struct {
	KeyGeneration
	key [kekBytes]byte
}

// OpenKeyring reads a keyring.
func OpenKeyring(ctx context.Context, cfg KeyConfig) (*Keyring, error) {
	source, err := newKeySource(cfg)
	if err != nil {
		return nil, err
	}
	k := &Keyring{source: source}
	if err := k.reload(ctx); err != nil {
		return nil, err
	}
	return k, nil
}

// CreateKeyring makes a keyring of one generation and stores it in the file that cfg names, which must not exist yet (fs.ErrExist).
func CreateKeyring(ctx context.Context, cfg KeyConfig) (*Keyring, error) {
	source, err := newKeySource(cfg)
	if err != nil {
		return nil, err
	}
	k := &Keyring{source: source, generations: []keyGeneration{newKeyGeneration(1)}}
	if err := source.create(ctx, encodeKeyring(k.generations)); err != nil {
		return nil, fmt.Errorf("create keyring: %w", err)
	}
	return k, nil
}

// Generations returns what the keyring holds, oldest first.
func (k *Keyring) Generations() []KeyGeneration {
	k.mu.RLock()
	defer k.mu.RUnlock()
	list := make([]KeyGeneration, len(k.generations))
	for i := range k.generations {
		list[i] = k.generations[i].KeyGeneration
	}
	return list
}

// Rotate adds a generation to the stored keyring and returns its number. Nothing uses it until Vault.Rewrap: before that, the keyring must have
// reached every machine whose processes open the vault.
func (k *Keyring) Rotate(ctx context.Context) (int, error) {
	added, err := k.rotateIfOlder(ctx, 0)
	return added, err
}

// rotateIfOlder is Rotate if the newest generation has reached an age, else it returns 0. Of several that call it at once one adds a generation.
func (k *Keyring) rotateIfOlder(ctx context.Context, age time.Duration) (int, error) {
	if newest := k.Generations(); age > 0 && time.Since(newest[len(newest)-1].Created) < age {
		return 0, nil // and the file is left alone
	}
	number := 0
	err := k.rewrite(ctx, func(stored []keyGeneration) ([]keyGeneration, error) {
		newest := stored[len(stored)-1]
		if age > 0 && time.Since(newest.Created) < age {
			return stored, nil
		}
		added := newKeyGeneration(newest.Number + 1)
		number = added.Number
		return append(stored, added), nil
	})
	if err != nil {
		return 0, fmt.Errorf("rotate keyring: %w", err)
	}
	return number, nil
}

// drop removes a generation from the stored keyring. It is no error if it is not there.
func (k *Keyring) drop(ctx context.Context, number int) error {
	return k.rewrite(ctx, func(stored []keyGeneration) ([]keyGeneration, error) {
		kept := slices.DeleteFunc(stored, func(g keyGeneration) bool { return g.Number == number })
		if len(kept) == 0 {
			return nil, errors.New("it is the keyring's only generation")
		}
		return kept, nil
	})
}

// rewrite changes the stored keyring and then this one.
func (k *Keyring) rewrite(ctx context.Context, change func([]keyGeneration) ([]keyGeneration, error)) error {
	var generations []keyGeneration
	err := k.source.replace(ctx, func(plain []byte) ([]byte, error) {
		stored, err := decodeKeyring(plain)
		if err != nil {
			return nil, err
		}
		generations, err = change(stored)
		return encodeKeyring(generations), err
	})
	if err != nil {
		return err
	}
	k.set(generations)
	return nil
}

// reload reads the stored keyring again.
func (k *Keyring) reload(ctx context.Context) error {
	plain, err := k.source.read(ctx)
	if err != nil {
		return fmt.Errorf("read keyring: %w", err)
	}
	defer clear(plain)
	generations, err := decodeKeyring(plain)
	if err != nil {
		return fmt.Errorf("read keyring from %s: %w", k.source, err)
	}
	k.set(generations)
	return nil
}

func (k *Keyring) set(generations []keyGeneration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.generations)
	k.generations = generations
}

// newest returns the number of the newest generation.
func (k *Keyring) newest() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.generations[len(k.generations)-1].Number
}

// key returns a generation's key, and looks into the stored keyring again before it gives up.
func (k *Keyring) key(ctx context.Context, number int) ([kekBytes]byte, error) {
	if key, ok := k.find(number); ok {
		return key, nil
	}
	if err := k.reload(ctx); err != nil {
		return [kekBytes]byte{}, err
	}
	if key, ok := k.find(number); ok {
		return key, nil
	}
	return [kekBytes]byte{}, fmt.Errorf("%w: generation %d is not in %s", ErrWrongKeyring, number, k.source)
}

func (k *Keyring) find(number int) ([kekBytes]byte, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	i, ok := slices.BinarySearchFunc(k.generations, number, func(g keyGeneration, n int) int { return cmp.Compare(g.Number, n) })
	if !ok {
		return [kekBytes]byte{}, false
	}
	return k.generations[i].key, true
}

func newKeyGeneration(number int) keyGeneration {
	g := keyGeneration{KeyGeneration: KeyGeneration{Number: number, Created: time.Now().UTC().Truncate(time.Second)}}
	rand.Read(g.key[:]) // never fails
	return g
}

// keyringFile is the stored form: one line of JSON, so that it fits into an environment variable too.
type keyringFile struct {
	Version     int                 `json:"v"`
	Generations []keyringGeneration `json:"generations"`
}

type keyringGeneration struct {
	Number  int       `json:"number"`
	Created time.Time `json:"created"`
	Key     []byte    `json:"key"`
}

func encodeKeyring(generations []keyGeneration) []byte {
	file := keyringFile{Version: 1}
	for i := range generations {
		g := &generations[i]
		file.Generations = append(file.Generations, keyringGeneration{Number: g.Number, Created: g.Created, Key: g.key[:]})
	}
	plain, err := json.Marshal(file)
	if err != nil {
		panic(err) // numbers, times of this era and bytes can always be written
	}
	return append(plain, '\n')
}

// decodeKeyring never quotes what it reads: it is secret.
func decodeKeyring(plain []byte) ([]keyGeneration, error) {
	var file keyringFile
	decoder := json.NewDecoder(bytes.NewReader(plain))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, errors.New("it is not a keyring; if a key service encrypted it, name the service's key in the configuration")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the keyring")
	}
	if file.Version != 1 || len(file.Generations) == 0 {
		return nil, fmt.Errorf("keyring of version %d with %d generations, wanted version 1 and at least one", file.Version, len(file.Generations))
	}
	generations := make([]keyGeneration, 0, len(file.Generations))
	previous := 0
	for _, g := range file.Generations {
		if g.Number <= previous || len(g.Key) != kekBytes {
			return nil, fmt.Errorf("generation %d after %d with a key of %d bytes, wanted rising numbers and %d bytes", g.Number, previous, len(g.Key), kekBytes)
		}
		previous = g.Number
		generations = append(generations, keyGeneration{KeyGeneration{g.Number, g.Created}, [kekBytes]byte(g.Key)})
		clear(g.Key)
	}
	return generations, nil
}
