// Package logkeys keeps the keys that sign the logs' checkpoints: a folder with two files a key, `<id>.key` with the private key, which is there for as long
// as the key signs, and `<id>.vkey` with the public one, which stays, so that old checkpoints can be checked. All private keys of a folder sign, so a key is
// replaced by adding the next one, waiting until everybody knows it, and retiring the first.
package logkeys

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/durable"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

const (
	privateSuffix = ".key"
	publicSuffix  = ".vkey"
	maxKeyBytes   = 1024
)

// Key is a key of a folder.
type Key struct {
	ID      string // 8 hex digits, which stand in the public key as well
	VKey    string // the public key as verifiers take it: <deployment>+<id>+<base64> (C2SP signed-note)
	Signing bool   // the private key is there
	signer  note.Signer
}

// Folder is the keys of a deployment.
type Folder struct{ keys []Key }

// Create makes a key for a deployment's checkpoints in a folder, which it makes too. Both files are on disk when it returns.
func Create(folder, deployment string) (Key, error) {
	if err := chain.CheckDeployment(deployment); err != nil {
		return Key{}, fmt.Errorf("make a key for checkpoints: %w", err)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return Key{}, fmt.Errorf("make a key for checkpoints: %w", err)
	}
	private, public, err := note.GenerateKey(rand.Reader, deployment)
	if err != nil {
		return Key{}, fmt.Errorf("make a key for checkpoints: %w", err)
	}
	key := Key{VKey: public, Signing: true}
	if _, key.ID, err = cutVKey(public); err != nil {
		return Key{}, err
	}
	// The public key first: a key that signs while nobody can tell what it is would be worse than one that does not sign.
	if err := create(filepath.Join(folder, key.ID+publicSuffix), public); err != nil {
		return Key{}, err
	}
	if err := create(filepath.Join(folder, key.ID+privateSuffix), private); err != nil {
		return Key{}, err
	}
	return key, nil
}

// Ensure makes the first key where there is none, and leaves what is there as it is.
func Ensure(folder, deployment string) (made bool, err error) {
	f, err := Load(folder, deployment)
	if err != nil || len(f.keys) > 0 {
		return false, err
	}
	_, err = Create(folder, deployment)
	return err == nil, err
}

func create(path, text string) error {
	content := []byte(text + "\n")
	defer clear(content)
	if err := durable.Create(path, content); err != nil {
		return fmt.Errorf("make a key for checkpoints: %w", err)
	}
	return nil
}

// Load reads the keys of a deployment. It fails when any file is not what it should be, belongs to another deployment, or when others may read a private
// key: a folder that is half read would sign, or check, with half of the keys.
func Load(folder, deployment string) (*Folder, error) {
	names, err := filepath.Glob(filepath.Join(globEscape(folder), "*"+publicSuffix))
	if err != nil {
		return nil, fmt.Errorf("read the keys of checkpoints: %w", err)
	}
	f := &Folder{}
	for _, name := range names {
		key, err := loadKey(name, deployment)
		if err != nil {
			return nil, err
		}
		f.keys = append(f.keys, key)
	}
	private, err := filepath.Glob(filepath.Join(globEscape(folder), "*"+privateSuffix))
	if err != nil {
		return nil, fmt.Errorf("read the keys of checkpoints: %w", err)
	}
	for _, name := range private {
		if id := strings.TrimSuffix(filepath.Base(name), privateSuffix); !f.has(id) {
			return nil, fmt.Errorf("%s has no %s beside it: put it back from your backup", name, id+publicSuffix)
		}
	}
	slices.SortFunc(f.keys, func(a, b Key) int { return strings.Compare(a.ID, b.ID) })
	return f, nil
}

// globEscape keeps a folder's name from being a pattern.
func globEscape(folder string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(folder)
}

func loadKey(public, deployment string) (Key, error) {
	text, err := readKey(public)
	if err != nil {
		return Key{}, err
	}
	name, id, err := cutVKey(text)
	if err != nil {
		return Key{}, fmt.Errorf("%s: %w", public, err)
	}
	if name != deployment {
		return Key{}, fmt.Errorf("%s belongs to deployment %s, not to %s", public, name, deployment)
	}
	if filepath.Base(public) != id+publicSuffix {
		return Key{}, fmt.Errorf("%s holds the key %s", public, id)
	}
	key := Key{ID: id, VKey: text}
	private := strings.TrimSuffix(public, publicSuffix) + privateSuffix
	info, err := os.Stat(private)
	if errors.Is(err, fs.ErrNotExist) {
		return key, nil
	}
	if err != nil {
		return Key{}, fmt.Errorf("read the key of checkpoints: %w", err)
	}
	if err := durable.Private(private, info.Mode()); err != nil {
		return Key{}, fmt.Errorf("key of checkpoints: %w", err)
	}
	secret, err := readKey(private)
	if err != nil {
		return Key{}, err
	}
	// The error of a broken private key is not shown: it could quote the key.
	signer, err := note.NewSigner(secret)
	if err != nil {
		return Key{}, fmt.Errorf("%s holds no private key of a note", private)
	}
	verifier, err := note.NewVerifier(text)
	if err != nil {
		return Key{}, fmt.Errorf("%s holds no public key of a note", public)
	}
	if signer.Name() != verifier.Name() || signer.KeyHash() != verifier.KeyHash() {
		return Key{}, fmt.Errorf("%s and %s are not the two halves of one key", private, public)
	}
	key.Signing, key.signer = true, signer
	return key, nil
}

func readKey(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read the key of checkpoints: %w", err)
	}
	defer file.Close()
	var text [maxKeyBytes]byte
	n, err := file.Read(text[:])
	if err != nil {
		return "", fmt.Errorf("read the key of checkpoints %s: %w", path, err)
	}
	defer clear(text[:])
	return string(bytes.TrimSpace(text[:n])), nil
}

// cutVKey checks a public key and takes name and id out of it.
func cutVKey(vkey string) (name, id string, err error) {
	if _, err := note.NewVerifier(vkey); err != nil {
		return "", "", errors.New("not a public key of a note: <name>+<8 hex digits>+<base64> expected")
	}
	name, rest, _ := strings.Cut(vkey, "+")
	id, _, _ = strings.Cut(rest, "+")
	return name, id, nil
}

func (f *Folder) has(id string) bool {
	return slices.ContainsFunc(f.keys, func(k Key) bool { return k.ID == id })
}

// Keys returns all keys, those that do not sign any more among them, by ID.
func (f *Folder) Keys() []Key { return slices.Clone(f.keys) }

// Signers returns what signs.
func (f *Folder) Signers() []note.Signer {
	var signers []note.Signer
	for i := range f.keys {
		if f.keys[i].Signing {
			signers = append(signers, f.keys[i].signer)
		}
	}
	return signers
}

// VKeys returns the public keys, those that do not sign any more among them.
func (f *Folder) VKeys() []string {
	vkeys := make([]string, len(f.keys))
	for i := range f.keys {
		vkeys[i] = f.keys[i].VKey
	}
	return vkeys
}

// Retire removes a private key, so that it signs no more; its public key stays. The last one that signs is not removed.
func Retire(folder, deployment, id string) error {
	f, err := Load(folder, deployment)
	if err != nil {
		return err
	}
	signing := 0
	found := false
	for _, key := range f.keys {
		if key.Signing {
			signing++
			found = found || key.ID == id
		}
	}
	switch {
	case !found:
		return fmt.Errorf("no key %s signs here", id)
	case signing == 1:
		return fmt.Errorf("%s is the only key that signs: make the next one first", id)
	}
	if err := os.Remove(filepath.Join(folder, id+privateSuffix)); err != nil {
		return fmt.Errorf("retire key %s: %w", id, err)
	}
	return durable.Sync(folder)
}

// Verifiers makes public keys known to those who check notes. A string may hold several, with white space between: what shells make of the column that
// 'keys list' prints after a rotation. The error names no key but the place of the wrong one.
func Verifiers(vkeys []string) (note.Verifiers, error) {
	var verifiers []note.Verifier
	for i, several := range vkeys {
		each := strings.Fields(several)
		if len(each) == 0 {
			return nil, fmt.Errorf("key %d is empty: a line of 'keys list' ends with a public key", i+1)
		}
		for _, vkey := range each {
			verifier, err := note.NewVerifier(vkey)
			if err != nil {
				return nil, fmt.Errorf("key %d is no public key, or not all of one: <deployment>+<8 hex digits>+<base64> expected, as 'keys list' prints it", len(verifiers)+1)
			}
			verifiers = append(verifiers, verifier)
		}
	}
	return note.VerifierList(verifiers...), nil
}
