package vault

import "context"

// Follower tells that a vault went back in time while it was used: a backup was restored under running processes, or a standby took over that missed commits. It
// belongs to one goroutine.
type Follower struct {
	vault *Vault
	at    point
}

// NewFollower returns a follower that knows nothing yet.
func NewFollower(v *Vault) *Follower { return &Follower{vault: v, at: nowhere} }

// Continues says whether all that this follower has seen the vault do is still there. It says no the first time, and also if it was not asked for so long that
// nobody can tell.
func (f *Follower) Continues(ctx context.Context) (bool, error) {
	ctx, cancel := f.vault.bounded(ctx)
	defer cancel()
	list, known, err := f.vault.changesSince(ctx, f.at)
	if err != nil {
		return false, err
	}
	if known {
		if len(list) > 0 {
			f.at = list[len(list)-1].point
		}
		return true, nil
	}
	now, err := f.vault.present(ctx)
	if err == nil {
		f.at = now
	}
	return false, err
}
