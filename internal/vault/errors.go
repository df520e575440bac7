package vault

import (
	"context"
	"errors"
	"fmt"
)

// Sentinels for the decisions that callers take.
var (
	// ErrUnavailable: the database cannot be reached, is locked, is full or refuses work for now. The call had no effect, or an unknown one; it may
	// be repeated.
	ErrUnavailable = errors.New("vault unavailable")
	// ErrWrongKeyring: the keyring lacks a key that the vault is encrypted under, or has another one in its place. Do not retry.
	ErrWrongKeyring = errors.New("wrong keyring for this vault")
	// ErrDamaged: a row does not open under its key: it was altered or swapped outside of this package. Do not retry.
	ErrDamaged = errors.New("vault damaged or tampered with")
	// ErrForged: a row that orders something was written by somebody without the keyring (see ForgedError). It is not acted on. Do not retry: somebody has to look
	// at the database, and to remove the row.
	ErrForged = errors.New("none of our processes has written it as it is")
	// ErrSuperseded: someone else changed the record first. Read it again.
	ErrSuperseded = errors.New("changed by someone else in the meantime")
	// ErrGenerationInUse: something is still wrapped under the generation, so it cannot be dropped. Rewrap first.
	ErrGenerationInUse = errors.New("key generation still in use")
	// ErrDestroyed: the key was destroyed on purpose and is not made again.
	ErrDestroyed = errors.New("destroyed")
	// ErrClock: the call would be right only at a time that cannot be now, so some clock is wrong. Nothing was done.
	ErrClock = errors.New("the clock seems wrong")
	// ErrExists: the name is taken by something else.
	ErrExists = errors.New("exists already")
)

// failed says what was being done when err happened, and marks it as ErrUnavailable if repeating may help.
func (v *Vault) failed(doing string, err error) error {
	if errors.Is(err, ErrUnavailable) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, context.Canceled) && v.db.unavailable(err) {
		return fmt.Errorf("%s: %w: %w", doing, ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
