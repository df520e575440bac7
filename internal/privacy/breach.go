package privacy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Breaches are opened, told of and closed by people; the log says each step. Nothing of them is carried out by a worker, so the callers bring the systems.

// typeBreach is the type of the entries about breaches.
const typeBreach = "gdpr.breach"

// MaxBreachEvents bounds how many events of a breach can be listed one by one.
const MaxBreachEvents = 10_000

// BreachOpening is what is known of a breach when it is opened.
type BreachOpening struct {
	Reason   string
	Detected time.Time        // when it became known; from then on the time runs
	Notice   time.Duration    // in which the authority must be told (GDPR Art. 33: 72 hours)
	Scope    gdpr.BreachScope // Listed is filled in
	Events   [][16]byte       // the affected events, where they are known one by one
}

func (o *BreachOpening) check(now time.Time) error {
	s := &o.Scope
	switch {
	case o.Reason == "":
		return errors.New("a breach needs a reason")
	case o.Detected.After(now):
		return errors.New("a breach cannot have been detected in the future")
	case len(o.Events) > MaxBreachEvents:
		return fmt.Errorf("a breach lists at most %d events", MaxBreachEvents)
	case len(o.Events) == 0 && (s.Since == nil || s.Until == nil):
		return errors.New("a breach has a beginning and an end, or lists its events")
	case s.Since != nil && s.Until != nil && !s.Since.Before(*s.Until):
		return errors.New("a breach begins before it ends")
	}
	return nil
}

// ErrNoEvents: none of the events that were listed is there.
var ErrNoEvents = errors.New("none of these events is stored")

// OpenBreach opens a breach, and returns which of the listed events are not stored; they are left out.
func OpenBreach(ctx context.Context, st *store.Store, v *vault.Vault, o BreachOpening) (b vault.Breach, missing [][16]byte, err error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	o.Detected = o.Detected.UTC().Truncate(time.Microsecond) // else what was detected in this microsecond would be in the future
	if err := o.check(now); err != nil {
		return vault.Breach{}, nil, err
	}
	if len(o.Events) > 0 {
		if missing, err = st.MissingEvents(ctx, o.Events); err != nil {
			return vault.Breach{}, nil, err
		}
		if len(missing) == len(o.Events) {
			return vault.Breach{}, missing, ErrNoEvents
		}
		o.Events = without(o.Events, missing)
	}
	o.Scope.Listed = len(o.Events)
	b = vault.Breach{ID: [16]byte(events.NewUUID(now)), Reason: o.Reason, Detected: o.Detected, Due: o.Detected.Add(o.Notice), Opened: now, Entries: o.Events}
	extent, err := measureBreach(ctx, st, v, o.Scope, o.Events)
	if err != nil {
		return vault.Breach{}, nil, err
	}
	if b.Scope, err = marshal(o.Scope); err != nil {
		return vault.Breach{}, nil, err
	}
	if b.Opening, err = marshal(extent); err != nil {
		return vault.Breach{}, nil, err
	}
	r := breachStep(&b, "open")
	scopeAttributes(r.Attributes, &o.Scope)
	r.Attributes["reason"], r.Attributes["detected"], r.Attributes["due"] = o.Reason, o.Detected.Format(time.RFC3339), b.Due.Format(time.RFC3339)
	r.Attributes["entries"], r.Attributes["subjects"] = strconv.FormatUint(extent.Entries, 10), strconv.FormatUint(extent.Subjects, 10)
	said, err := r.saying(stepID(b.ID, "breach"), now)
	if err != nil {
		return vault.Breach{}, nil, err
	}
	return b, missing, v.AddBreach(ctx, b, said)
}

func marshal(what any) (string, error) {
	text, err := json.Marshal(what)
	return string(text), err
}

// without returns all but some, in their order.
func without(all, some [][16]byte) [][16]byte {
	not := make(map[[16]byte]bool, len(some))
	for _, id := range some {
		not[id] = true
	}
	var left [][16]byte
	for _, id := range all {
		if !not[id] {
			left = append(left, id)
		}
	}
	return left
}

// breachStep is what the log says about a step of a breach.
func breachStep(b *vault.Breach, action string) remark {
	return remark{Type: typeBreach, Action: action, Outcome: events.Success, Attributes: map[string]string{"breach": gdpr.SubjectID(b.ID).String()}}
}

func scopeAttributes(to map[string]string, s *gdpr.BreachScope) {
	for name, value := range map[string]string{"tenant": s.Tenant, "agent": s.Agent, "tool": s.Tool, "type": s.Type, "session_token": s.SessionToken} {
		if value != "" {
			to[name] = value
		}
	}
	if s.Since != nil {
		to["since"] = s.Since.Format(time.RFC3339Nano)
	}
	if s.Until != nil {
		to["until"] = s.Until.Format(time.RFC3339Nano)
	}
	if s.Listed > 0 {
		to["listed"] = strconv.Itoa(s.Listed)
	}
}

// NoteBreachNotice notes who was told of a breach, and returns false if it is not open. Notices of one breach that are the same but for their time are several.
func NoteBreachNotice(ctx context.Context, v *vault.Vault, b *vault.Breach, to gdpr.Addressee, reference string) (bool, error) {
	switch {
	case !to.Valid():
		return false, errors.New("a notice goes to the authority or to the subjects")
	case reference == "" || len(reference) > maxReferenceBytes:
		return false, errors.New("a notice needs a reference of at most 1024 bytes")
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	r := breachStep(b, "notice")
	r.Attributes["to"], r.Attributes["reference"], r.Attributes["due"] = string(to), reference, b.Due.Format(time.RFC3339)
	said, err := r.saying(events.NewUUID(now), now)
	if err != nil {
		return false, err
	}
	return v.AddBreachNotice(ctx, b.ID, vault.BreachNotice{To: to, Reference: reference, At: now}, said)
}

// BreachNotices returns who was told of a breach, and how that was to the deadline.
func BreachNotices(ctx context.Context, v *vault.Vault, b *vault.Breach) ([]gdpr.BreachNotice, error) {
	noted, err := v.BreachNotices(ctx, b.ID)
	if err != nil {
		return nil, err
	}
	list := make([]gdpr.BreachNotice, len(noted))
	for i, n := range noted {
		list[i] = gdpr.BreachNotice{To: n.To, Reference: n.Reference, At: n.At, BeforeDeadline: b.Due.Sub(n.At).Seconds()}
	}
	return list, nil
}

// ErrBreachClosed: nothing can be done about a breach any more.
var ErrBreachClosed = errors.New("the breach is closed")

// closeAttempts bounds how often a report is made again because somebody was told meanwhile.
const closeAttempts = 5

// CloseBreach closes a breach, and returns it with its report, whose hash stands in the log.
func CloseBreach(ctx context.Context, st *store.Store, v *vault.Vault, id [16]byte, why string) (vault.Breach, error) {
	if why == "" {
		return vault.Breach{}, errors.New("a breach is closed for a reason")
	}
	for range closeAttempts {
		b, found, err := v.Breach(ctx, id)
		switch {
		case err != nil:
			return vault.Breach{}, err
		case !found || !b.Closed.IsZero():
			return vault.Breach{}, ErrBreachClosed
		}
		b.Closed, b.Why = time.Now().UTC().Truncate(time.Microsecond), why
		report, err := breachReport(ctx, st, v, &b)
		if err != nil {
			return vault.Breach{}, err
		}
		b.Notices = len(report.Notices)
		if b.Report, err = marshal(report); err != nil {
			return vault.Breach{}, err
		}
		sum := sha256.Sum256([]byte(b.Report))
		r := breachStep(&b, "close")
		r.Attributes["reason"], r.Attributes["report_sha256"] = why, hex.EncodeToString(sum[:])
		said, err := r.saying(stepID(b.ID, "closed"), b.Closed)
		if err != nil {
			return vault.Breach{}, err
		}
		if closed, err := v.CloseBreach(ctx, b, said); err != nil || closed {
			return b, err
		}
	}
	return vault.Breach{}, errors.New("close the breach: others keep changing it")
}

func breachReport(ctx context.Context, st *store.Store, v *vault.Vault, b *vault.Breach) (*gdpr.BreachReport, error) {
	scope, opening, err := ReadBreach(b)
	if err != nil {
		return nil, err
	}
	closing, err := measureBreach(ctx, st, v, scope, b.Entries)
	if err != nil {
		return nil, err
	}
	notices, err := BreachNotices(ctx, v, b)
	if err != nil {
		return nil, err
	}
	return &gdpr.BreachReport{
		Breach: gdpr.SubjectID(b.ID).String(), Reason: b.Reason, Detected: b.Detected, Due: b.Due, Opened: b.Opened, Scope: scope, Opening: opening,
		Closing: *closing, Notices: notices, Closed: b.Closed, Why: b.Why,
	}, nil
}

// ReadBreach returns which entries a breach affects, and what that was when it was opened.
func ReadBreach(b *vault.Breach) (scope gdpr.BreachScope, opening gdpr.BreachExtent, err error) {
	if err := errors.Join(json.Unmarshal([]byte(b.Scope), &scope), json.Unmarshal([]byte(b.Opening), &opening)); err != nil {
		return scope, opening, fmt.Errorf("the vault's record of a breach is damaged: %w", err)
	}
	return scope, opening, nil
}

// MeasureBreach counts what a breach affects now: events may have come late, retention may have dropped some, and people may have been erased.
func MeasureBreach(ctx context.Context, st *store.Store, v *vault.Vault, b *vault.Breach) (*gdpr.BreachExtent, error) {
	scope, _, err := ReadBreach(b)
	if err != nil {
		return nil, err
	}
	return measureBreach(ctx, st, v, scope, b.Entries)
}

func measureBreach(ctx context.Context, st *store.Store, v *vault.Vault, scope gdpr.BreachScope, listed [][16]byte) (*gdpr.BreachExtent, error) {
	extent := &gdpr.BreachExtent{At: time.Now().UTC().Truncate(time.Microsecond), Logs: []gdpr.BreachLog{}}
	logs, err := st.ScopeLogs(ctx, storeScope(&scope, listed))
	if err != nil {
		return nil, err
	}
	for _, l := range logs {
		extent.Entries += l.Entries
		one := gdpr.BreachLog{Log: l.Log, Entries: l.Entries, First: l.First, Last: l.Last}
		point, found, err := v.Checkpoint(ctx, l.Log)
		if err != nil {
			return nil, err
		}
		if found {
			one.Size, one.Root, one.Checkpoint, one.Covered = point.Size, hex.EncodeToString(point.Root[:]), point.Note, l.Last < point.Size
		}
		extent.Logs = append(extent.Logs, one)
	}
	err = eachAffected(ctx, st, v, storeScope(&scope, listed), NoNames, func(a Affected) error {
		extent.Subjects++
		if a.Erased {
			extent.Erased++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if onlyTime := (gdpr.BreachScope{Since: scope.Since, Until: scope.Until}); scope == onlyTime {
		rejected, err := st.CountRejected(ctx, *scope.Since, *scope.Until)
		if err != nil {
			return nil, err
		}
		extent.Rejected = &rejected
	}
	return extent, nil
}

func storeScope(s *gdpr.BreachScope, listed [][16]byte) store.Scope {
	scope := store.Scope{Tenant: s.Tenant, Agent: s.Agent, Tool: s.Tool, Type: s.Type, SessionToken: s.SessionToken, EventIDs: listed}
	if s.Since != nil {
		scope.Since = *s.Since
	}
	if s.Until != nil {
		scope.Until = *s.Until
	}
	return scope
}

// Affected is somebody whom a breach affects.
type Affected struct {
	store.ScopeSubject
	Erased     bool           // the vault does not know the person any more
	Restricted bool           // the person's data is restricted, and the name not shown for that
	Who        vault.Identity // if it was asked for
}

// Names says which names are wanted.
type Names int

// Which names are wanted: none, those of people whose data is not restricted, or all.
const (
	NoNames Names = iota
	UnrestrictedNames
	AllNames
)

// BreachSubjects calls fn with everybody whom a breach affects. For names the caller has noted in the log before that they are read: see NoteRead.
func BreachSubjects(ctx context.Context, st *store.Store, v *vault.Vault, b *vault.Breach, names Names, fn func(Affected) error) error {
	scope, _, err := ReadBreach(b)
	if err != nil {
		return err
	}
	return eachAffected(ctx, st, v, storeScope(&scope, b.Entries), names, fn)
}

// affectedAtOnce is how many people the vault is asked about together.
const affectedAtOnce = 1000

func eachAffected(ctx context.Context, st *store.Store, v *vault.Vault, scope store.Scope, names Names, fn func(Affected) error) error {
	some := make([]Affected, 0, affectedAtOnce)
	flush := func() error {
		if err := lookUp(ctx, v, some, names); err != nil {
			return err
		}
		for i := range some {
			if err := fn(some[i]); err != nil {
				return err
			}
		}
		some = some[:0]
		return nil
	}
	err := st.ScopeSubjects(ctx, scope, func(s store.ScopeSubject) error {
		some = append(some, Affected{ScopeSubject: s})
		if len(some) < affectedAtOnce {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// lookUp fills in what the vault knows of some people.
func lookUp(ctx context.Context, v *vault.Vault, some []Affected, names Names) error {
	ids := make([]gdpr.SubjectID, len(some))
	for i := range some {
		ids[i] = some[i].ID
	}
	people, restricted := map[gdpr.SubjectID]vault.Identity{}, map[gdpr.SubjectID]bool{}
	var err error
	if names == UnrestrictedNames {
		if restricted, err = v.Restricted(ctx, ids); err != nil {
			return err
		}
	}
	if names != NoNames {
		if people, err = v.Identify(ctx, ids); err != nil {
			return err
		}
	} else {
		there, err := v.Exist(ctx, ids)
		if err != nil {
			return err
		}
		for _, id := range there {
			people[id] = vault.Identity{}
		}
	}
	for i := range some {
		who, known := people[some[i].ID]
		some[i].Erased, some[i].Restricted = !known, restricted[some[i].ID]
		if !some[i].Restricted {
			some[i].Who = who
		}
	}
	return nil
}
