package reveal

import (
	"context"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Person is somebody who gets to see what there is about them.
type Person struct {
	Subject gdpr.SubjectID
	User    string
}

// ForPerson reads events for the person whose they are, contents included. Other people stand in them under their pseudonyms only.
func ForPerson(ctx context.Context, deps Deps, p Person, found []store.Found) ([]Event, error) {
	r := &reader{contents: make([]gdpr.Sealed, len(found))}
	events := make([]Event, 0, len(found))
	for i := range found {
		event, err := r.read(&found[i], i)
		if err != nil {
			return nil, err
		}
		if r.subjects[i] == p.Subject {
			event.User = p.User
		}
		events = append(events, event)
	}
	return events, r.open(ctx, deps, found, events)
}
