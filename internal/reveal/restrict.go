package reveal

import (
	"context"
	"fmt"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// restrict marks what is not shown because somebody's data is restricted (GDPR Art. 18): the name of whoever acted, and the contents of the events that are
// about such a person, as the one who acted or as one whose data was touched. A question that says that its reader may see it is answered in full.
func (r *reader) restrict(ctx context.Context, deps Deps, q Question, events []Event) error {
	if q.Restricted {
		return nil
	}
	r.hidden = make([]bool, len(events))
	asked := make(map[gdpr.SubjectID]bool)
	var ids []gdpr.SubjectID
	ask := func(id gdpr.SubjectID) {
		if id != (gdpr.SubjectID{}) && !asked[id] {
			asked[id] = true
			ids = append(ids, id)
		}
	}
	for i := range events {
		ask(r.subjects[i])
		for _, id := range r.touched[i] {
			ask(id)
		}
	}
	restricted, err := deps.Vault.Restricted(ctx, ids)
	if err != nil {
		return fmt.Errorf("ask the vault: %w", err)
	}
	for i := range events {
		events[i].Restricted = restricted[r.subjects[i]]
		r.hidden[i] = events[i].Restricted
		for _, id := range r.touched[i] {
			r.hidden[i] = r.hidden[i] || restricted[id]
		}
		// Of an event without content nothing is hidden.
		r.hidden[i] = r.hidden[i] && len(r.contents[i].Keys) > 0
	}
	return nil
}

// isHidden says whether the content of an event stays closed.
func (r *reader) isHidden(i int) bool { return r.hidden != nil && r.hidden[i] }
