package privacy

import (
	"context"
	"maps"
	"time"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// NoteRead notes that somebody is about to be shown names or contents, by what (the command line, Slack), and why that may be. Nothing of them may be shown
// before it has returned nil. more says what they are, and names nobody.
func NoteRead(ctx context.Context, v *vault.Vault, by, what string, more map[string]string) error {
	now := time.Now()
	r := remark{Type: typeRead, Action: "read", Outcome: events.Success, Attributes: map[string]string{"what": what, "by": by}}
	maps.Copy(r.Attributes, more)
	said, err := r.saying(events.NewUUID(now), now)
	if err != nil {
		return err
	}
	return v.Note(ctx, said)
}
