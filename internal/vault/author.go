package vault

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
)

// Author is a process that signs system records.
type Author struct {
	Name string
	Key  ed25519.PublicKey
}

const (
	authorColumns = `SELECT name, public_key, mac FROM authors`
	insertAuthor  = `INSERT INTO authors (name, public_key, mac) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING`
)

func (a *Author) describe(t *rowText) {
	t.beginNamed("authors", shownName(a.Name))
	t.string(a.Name)
	t.bytes(a.Key)
}

func scanAuthor(rows scanner, a *Author) error {
	a.Key = make(ed25519.PublicKey, ed25519.PublicKeySize)
	return rows.Scan(&a.Name, fixed(a.Key))
}

// AddAuthor stores an author; it is no error if the same one is there. ErrExists when the name belongs to another key: a name's key is never replaced,
// or old signatures would be in doubt.
func (v *Vault) AddAuthor(ctx context.Context, a Author) error {
	if a.Name == "" || len(a.Key) != ed25519.PublicKeySize {
		return errors.New("add author: wanted a name and an Ed25519 public key")
	}
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	if _, err := v.db.exec(ctx, insertAuthor, a.Name, []byte(a.Key), v.mac(&a)); err != nil {
		return v.failed("add author "+a.Name, err)
	}
	stored, ok, err := v.Author(ctx, a.Name)
	if err != nil {
		return err
	}
	if !ok || !bytes.Equal(stored.Key, a.Key) {
		return fmt.Errorf("add author %s: the name with another key %w; choose another name", a.Name, ErrExists)
	}
	return nil
}

// Author returns the author of that name, and false if there is none.
func (v *Vault) Author(ctx context.Context, name string) (Author, bool, error) {
	list, err := v.authors(ctx, authorColumns+` WHERE name = ?`, name)
	if err != nil || len(list) == 0 {
		return Author{}, false, err
	}
	return list[0], true, nil
}

// Authors returns all authors, by name. One forged row is ErrForged: if an author's key was changed, what he has signed would not be believed, and whom that has erased
// would come back in a restored vault.
func (v *Vault) Authors(ctx context.Context) ([]Author, error) {
	return v.authors(ctx, authorColumns+` ORDER BY name`)
}

func (v *Vault) authors(ctx context.Context, query string, args ...any) ([]Author, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := genuine(ctx, v, v.db.read, scanAuthor, query, args...)
	if err != nil {
		return nil, v.failed("read authors", err)
	}
	return list, nil
}
