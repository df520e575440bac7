package vault

import "errors"

// Sentinels for the decisions that callers take.
var (
	// ErrUnavailable: the database cannot be reached, is locked or refuses work for now. The call had no effect, or an unknown one; it may be repeated.
	ErrUnavailable = errors.New("vault unavailable")
	// ErrWrongKeyring: the keyring is not the one that the vault was encrypted under. Do not retry.
	ErrWrongKeyring = errors.New("wrong keyring for this vault")
	// ErrSuperseded: someone else changed the record first. Read it again.
	ErrSuperseded = errors.New("changed by someone else in the meantime")
	// ErrGenerationInUse: keys are still wrapped under the generation, so it cannot be dropped.
	ErrGenerationInUse = errors.New("key generation still in use")
	// ErrDestroyed: the key was destroyed on purpose and is not made again.
	ErrDestroyed = errors.New("destroyed")
	// ErrExists: the name is taken by something else.
	ErrExists = errors.New("exists already")
)
