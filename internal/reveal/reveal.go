// Package reveal finds events by people's names and shows whose they are and what
// they contain. It is the one place that joins entries with identities.
package reveal

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// MaxEvents is the most that one question is answered with.
const MaxEvents = store.MaxFound

// Deps are where entries and identities are.
type Deps struct {
	Store *store.Store
	Vault *vault.Vault
}

// Question says which events are wanted. Empty fields do not restrict.
type Question struct {
	Tenant, User, Session string         // as producers send them
	Subject               gdpr.SubjectID // of this pseudonym; zero: of anybody
	Since, Until          time.Time      // Until excluded
	Type                  string
	Limit                 int // 1 to MaxEvents
	WithContent           bool
	Pseudonyms            bool   // nobody is named: the vault is not asked who people are
	Restricted            bool   // the reader may see the names and contents of people whose data is restricted; see restrict
	SessionPolicy         string // how session ids stand in entries: clear, search, subject or sealed
}

// Event is one event with the names that the vault has for it.
type Event struct {
	Log          string          `json:"log"`
	Seq          uint64          `json:"seq"`
	EventID      string          `json:"event_id"`
	Time         string          `json:"time"`
	Type         string          `json:"type"`
	Action       string          `json:"action"`
	Outcome      string          `json:"outcome"`
	Tenant       string          `json:"tenant"`
	User         string          `json:"user,omitempty"`          // absent if there is none, or none any more, or restricted
	Restricted   bool            `json:"restricted,omitempty"`    // the data of the person who acted is restricted
	Subject      string          `json:"subject,omitempty"`       // the pseudonym
	DataSubjects []string        `json:"data_subjects,omitempty"` // pseudonyms
	Findings     []string        `json:"findings,omitempty"`
	Threat       string          `json:"threat,omitempty"`
	Public       json.RawMessage `json:"event"` // the public fields as they stand in the entry
	ContentState string          `json:"content_state,omitempty"`
	Content      json.RawMessage `json:"content,omitempty"`
}

// States of an event's content.
const (
	ContentOpened     = "opened"
	ContentDestroyed  = "destroyed"                // one of its keys is gone
	ContentDropped    = "dropped by retention"     // nobody keeps it any more
	ContentDamaged    = "does not match its entry" // the ciphertext is not what was sealed
	ContentRestricted = "restricted"               // it is about somebody whose data is restricted
)

var (
	// ErrNobody: the vault knows nobody of that name.
	ErrNobody = errors.New("nobody of that name")
	// ErrSessionNeedsUser: session ids are tokens under their user's key.
	ErrSessionNeedsUser = errors.New("sessions are kept as tokens of their user: name the user as well (--user)")
	// ErrSessionSealed: session ids are in the content only.
	ErrSessionSealed = errors.New("sessions are sealed here (ingest.fields.session_id) and cannot be searched for")
)

// Find answers the question, ordered by time.
func Find(ctx context.Context, deps Deps, q Question) ([]Event, error) {
	filter := store.Filter{Tenant: q.Tenant, Since: q.Since, Until: q.Until, Type: q.Type, Limit: q.Limit, WithoutContent: !q.WithContent}
	if q.Subject != (gdpr.SubjectID{}) {
		filter.Subjects = []gdpr.SubjectID{q.Subject}
	}
	var people []vault.Subject
	if q.User != "" {
		var err error
		if people, err = findPeople(ctx, deps, q); err != nil {
			return nil, err
		}
		if len(people) == 0 {
			return nil, ErrNobody
		}
		var known []gdpr.SubjectID
		for _, p := range people {
			if len(filter.Subjects) == 0 || p.ID == q.Subject {
				known = append(known, p.ID)
			}
		}
		if filter.Subjects = known; len(known) == 0 {
			return []Event{}, nil // another person than the pseudonym's
		}
	}
	if q.Session != "" {
		var err error
		if filter.SessionTokens, err = sessionTokens(deps, q, people); err != nil {
			return nil, err
		}
	}
	found, err := deps.Store.FindEvents(ctx, filter)
	if err != nil {
		return nil, fmt.Errorf("find events: %w", err)
	}
	r := &reader{contents: make([]gdpr.Sealed, len(found))}
	events := make([]Event, 0, len(found))
	for i := range found {
		event, err := r.read(&found[i], i)
		if err != nil {
			return nil, err
		}
		events = append(events, event)
	}
	if err := r.restrict(ctx, deps, q, events); err != nil {
		return nil, err
	}
	if !q.Pseudonyms {
		if err := r.name(ctx, deps, events); err != nil {
			return nil, err
		}
	}
	if q.WithContent {
		if err := r.open(ctx, deps, found, events); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// findPeople looks for the user in the tenant, or in all of them.
func findPeople(ctx context.Context, deps Deps, q Question) ([]vault.Subject, error) {
	tenants := []string{q.Tenant}
	if q.Tenant == "" {
		var err error
		if tenants, err = deps.Store.Tenants(ctx); err != nil {
			return nil, err
		}
	}
	var people []vault.Subject
	for _, tenant := range tenants {
		subject, ok, err := deps.Vault.Find(ctx, vault.Identity{Tenant: tenant, User: q.User})
		if err != nil {
			return nil, fmt.Errorf("ask the vault: %w", err)
		}
		if ok {
			people = append(people, subject)
		}
	}
	return people, nil
}

// sessionTokens are the forms in which the session may stand in the column session_id. The policy may have been another one when an entry was sealed, so all
// tokens that can be computed are looked for. The id itself is one of them under the policy clear only: ClickHouse keeps queries with their parameters in its
// query log, and HTTP servers keep addresses, where it would outlive the person whose it is. Entries that have it in the clear from before the policy was
// changed are not found by their session.
func sessionTokens(deps Deps, q Question, people []vault.Subject) ([]string, error) {
	switch {
	case q.SessionPolicy == "sealed":
		return nil, ErrSessionSealed
	case q.SessionPolicy == "subject" && len(people) == 0:
		return nil, ErrSessionNeedsUser
	}
	searchKey := deps.Vault.SearchKey()
	sealer, err := gdpr.NewSealer(&searchKey)
	if err != nil {
		return nil, fmt.Errorf("compute tokens: %w", err)
	}
	search := sealer.SearchToken(gdpr.TagSession, []byte(q.Session))
	tokens := []string{hex.EncodeToString(search[:])}
	if q.SessionPolicy == "clear" {
		tokens = append(tokens, q.Session)
	}
	for i := range people {
		prepared := gdpr.Prepare(&people[i].Keys)
		token := sealer.SubjectToken(&prepared, gdpr.TagSession, []byte(q.Session))
		tokens = append(tokens, hex.EncodeToString(token[:]))
		prepared.Wipe()
	}
	return tokens, nil
}

// reader takes found entries apart and remembers what the vault has to be asked for.
type reader struct {
	entry    chain.Entry
	subjects []gdpr.SubjectID   // of the events, zero if there is none
	touched  [][]gdpr.SubjectID // of the events
	contents []gdpr.Sealed      // of the events, no keys if there is none
	hidden   []bool             // of the events: whether their contents stay closed; nil: none does

	droppedBehind map[string]uint64 // by log: the contents of entries below were dropped
}

// public are the members of an entry's event that are shown beside it.
type public struct {
	EventID string `json:"event_id"`
	Time    string `json:"time"`
	Type    string `json:"type"`
	Action  string `json:"action"`
	Outcome string `json:"outcome"`
	Tenant  string `json:"tenant"`
}

func (r *reader) read(found *store.Found, i int) (Event, error) {
	if err := chain.ParseEntry(found.Entry, &r.entry); err != nil {
		return Event{}, fmt.Errorf("entry %d of %s: %w: run agentaudit verify", found.Seq, found.Log, err)
	}
	var p public
	if err := json.Unmarshal(r.entry.Event, &p); err != nil {
		return Event{}, fmt.Errorf("entry %d of %s: its event is not the JSON that it must be: run agentaudit verify", found.Seq, found.Log)
	}
	e := Event{
		Log: found.Log, Seq: found.Seq, EventID: p.EventID, Time: p.Time, Type: p.Type, Action: p.Action, Outcome: p.Outcome, Tenant: p.Tenant,
		Findings: append([]string(nil), r.entry.Findings...), Threat: r.entry.Threat,
		Public: append(json.RawMessage(nil), r.entry.Event...),
	}
	for _, id := range r.entry.DataSubjects {
		e.DataSubjects = append(e.DataSubjects, gdpr.SubjectID(id).String())
	}
	var subject gdpr.SubjectID
	if r.entry.HasSubject {
		subject = r.entry.Subject
		e.Subject = subject.String()
	}
	r.subjects = append(r.subjects, subject)
	var touched []gdpr.SubjectID
	for _, id := range r.entry.DataSubjects {
		touched = append(touched, gdpr.SubjectID(id))
	}
	r.touched = append(r.touched, touched)
	if r.entry.Content != nil {
		if err := gdpr.ParseSealed(r.entry.Content, &r.contents[i]); err != nil {
			return Event{}, fmt.Errorf("entry %d of %s: %w: run agentaudit verify", found.Seq, found.Log, err)
		}
	}
	return e, nil
}

// name fills in who the subjects are.
func (r *reader) name(ctx context.Context, deps Deps, events []Event) error {
	asked := make(map[gdpr.SubjectID]bool)
	var ids []gdpr.SubjectID
	for _, id := range r.subjects {
		if id != (gdpr.SubjectID{}) && !asked[id] {
			asked[id] = true
			ids = append(ids, id)
		}
	}
	people, err := deps.Vault.Identify(ctx, ids)
	if err != nil {
		return fmt.Errorf("ask the vault: %w", err)
	}
	for i, id := range r.subjects {
		if !events[i].Restricted {
			events[i].User = people[id].User
		}
	}
	return nil
}

// open decrypts the contents.
func (r *reader) open(ctx context.Context, deps Deps, found []store.Found, events []Event) error {
	asked := make(map[gdpr.KeyID]bool)
	var ids []gdpr.KeyID
	for i, content := range r.contents {
		if r.isHidden(i) {
			continue
		}
		for _, id := range content.Keys {
			if !asked[id] {
				asked[id] = true
				ids = append(ids, id)
			}
		}
	}
	keys, err := deps.Vault.KeysByID(ctx, ids)
	if err != nil {
		return fmt.Errorf("ask the vault for keys: %w", err)
	}
	for i := range events {
		if len(r.contents[i].Keys) == 0 {
			continue
		}
		if r.isHidden(i) {
			events[i].ContentState = ContentRestricted
			continue
		}
		if len(found[i].Content) == 0 {
			dropped, err := r.dropped(ctx, deps, found[i].Log, found[i].Seq)
			if err != nil {
				return err
			}
			if dropped {
				events[i].ContentState = ContentDropped
				continue
			}
		}
		events[i].Content, events[i].ContentState = openOne(&r.contents[i], found[i].Content, keys)
	}
	return nil
}

// dropped says whether retention was to drop the content of an entry.
func (r *reader) dropped(ctx context.Context, deps Deps, log string, seq uint64) (bool, error) {
	behind, asked := r.droppedBehind[log]
	if !asked {
		_, contents, err := deps.Vault.LatestPrunes(ctx, log)
		if err != nil {
			return false, fmt.Errorf("ask the vault: %w", err)
		}
		if contents != nil {
			behind = contents.Behind
		}
		if r.droppedBehind == nil {
			r.droppedBehind = map[string]uint64{}
		}
		r.droppedBehind[log] = behind
	}
	return seq < behind, nil
}

func openOne(content *gdpr.Sealed, ciphertext []byte, keys map[gdpr.KeyID]gdpr.Keys) (json.RawMessage, string) {
	var needed []*gdpr.Keys
	for _, id := range content.Keys {
		key, ok := keys[id]
		if !ok {
			return nil, ContentDestroyed
		}
		needed = append(needed, &key)
	}
	plain, err := gdpr.Open(nil, ciphertext, content, needed)
	if err != nil || !json.Valid(plain) {
		return nil, ContentDamaged
	}
	return plain, ContentOpened
}
