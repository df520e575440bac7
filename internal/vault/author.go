package vault

import (
	"context"
	"crypto/ed25519"
)

// Author is a process that signs system records.
type Author struct {
	Name string
	Key  ed25519.PublicKey
}

// AddAuthor stores an author. ErrExists when the name belongs to another key: a name's key is never replaced, or old signatures would be in doubt.
func (v *Vault) AddAuthor(ctx context.Context, a Author) error { return nil }

// Author returns the author of that name, and false if there is none.
func (v *Vault) Author(ctx context.Context, name string) (Author, bool, error) {
	return Author{}, false, nil
}

// Authors returns all authors, by name.
func (v *Vault) Authors(ctx context.Context) ([]Author, error) { return nil, nil }
