package privacy

import (
	"context"
	"strconv"
	"time"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Who may ask, and what was asked and shown, stands in the log as well. Entries name a key by its id and never by its name, which may be a person's.
const (
	typeAPIKey = "audit.apikey"
	typeRead   = "audit.read"
	typeReveal = "audit.reveal"
	typeChange = "audit.change"
)

// AddAPIKey stores a key, and returns false if it was stored before.
func AddAPIKey(ctx context.Context, v *vault.Vault, k vault.APIKey) (bool, error) {
	r := remark{Type: typeAPIKey, Action: "add", Outcome: events.Success, Attributes: map[string]string{
		"key": gdpr.SubjectID(k.ID).String(), "role": k.Role,
	}}
	if k.Tenant != "" {
		r.Attributes["tenant"] = k.Tenant
	}
	if !k.Expires.IsZero() {
		r.Attributes["expires"] = k.Expires.Format(time.RFC3339)
	}
	said, err := r.saying(stepID(k.ID, "key"), k.Added)
	if err != nil {
		return false, err
	}
	return v.AddAPIKey(ctx, k, said)
}

// RevokeAPIKey ends a key, and returns false if there is none that was not revoked.
func RevokeAPIKey(ctx context.Context, v *vault.Vault, id [16]byte) (bool, error) {
	now := time.Now()
	r := remark{Type: typeAPIKey, Action: "revoke", Outcome: events.Success, Attributes: map[string]string{"key": gdpr.SubjectID(id).String()}}
	said, err := r.saying(stepID(id, "revoked"), now)
	if err != nil {
		return false, err
	}
	return v.RevokeAPIKey(ctx, id, now, said)
}

// Use is something that was asked with an API key. It names no person.
type Use struct {
	What  string // "events", "proof", "request" …
	Count int    // how many of them are shown
	// People is how many people are shown by name, and Contents how many contents: each is a revelation, noted by itself.
	People, Contents int
	// Restricted: those whose data is restricted are among them if there are any.
	Restricted bool
	// Changes: it was asked to change something, which is noted before anybody knows whether that comes about. What was changed then is noted by itself.
	Changes bool
	// Request is the request that it is about, if it is about one.
	Request [16]byte
}

// NoteUse notes what was asked with a key, in one transaction with a look at whether the key still counts (else vault.ErrNotActive). Nothing may be shown or
// changed before it has returned nil.
func NoteUse(ctx context.Context, v *vault.Vault, key *vault.APIKey, use Use) error {
	now := time.Now()
	about := func(more ...string) map[string]string {
		a := map[string]string{"key": gdpr.SubjectID(key.ID).String(), "role": key.Role, "what": use.What}
		if use.Request != ([16]byte{}) {
			a["request"] = gdpr.SubjectID(use.Request).String()
		}
		for i := 0; i < len(more); i += 2 {
			a[more[i]] = more[i+1]
		}
		return a
	}
	remarks := []remark{{Type: typeRead, Action: "read", Outcome: events.Success, Attributes: about("count", strconv.Itoa(use.Count))}}
	if use.Changes {
		remarks[0] = remark{Type: typeChange, Action: "ask", Outcome: events.Pending, Attributes: about()}
	}
	if use.People > 0 || use.Contents > 0 {
		shown := about("people", strconv.Itoa(use.People), "contents", strconv.Itoa(use.Contents))
		if use.Restricted {
			shown["restricted"] = "shown"
		}
		remarks = append(remarks, remark{Type: typeReveal, Action: "reveal", Outcome: events.Success, Attributes: shown})
	}
	said := make([]vault.Saying, len(remarks))
	for i, r := range remarks {
		var err error
		if said[i], err = r.saying(events.NewUUID(now), now); err != nil {
			return err
		}
	}
	return v.UseAPIKey(ctx, key.ID, now, said...)
}
