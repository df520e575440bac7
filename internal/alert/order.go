package alert

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// TypeOrder is the type of entries by which people say what is to become of alerts.
const TypeOrder = "alert.order"

// Verb is what is ordered.
type Verb string

// The verbs.
const (
	Acknowledge   Verb = "acknowledge"    // somebody looks after an incident
	Snooze        Verb = "snooze"         // say nothing more of an incident until a time
	FalsePositive Verb = "false_positive" // an incident was none: the bar for its entity and signals rises
	Suppress      Verb = "suppress"       // say nothing of a signal, or of all, of an entity until a time
	Unsuppress    Verb = "unsuppress"     // say it again
)

// Status is the status of an incident that was answered with the verb, as it is shown and as the vault keeps it; "" if the verb answers none.
func (v Verb) Status() string {
	switch v {
	case Acknowledge:
		return "acknowledged"
	case Snooze:
		return "snoozed"
	case FalsePositive:
		return "false_positive"
	}
	return ""
}

// MaxSuppression is how long alerts can be kept back by one order. Nothing is kept back for ever by something that everybody has forgotten.
const MaxSuppression = 90 * 24 * time.Hour

// clockSlack is how far the clock of who gives an order may be ahead of Kafka's: by so much an order for the longest time is shortened, and not refused.
const clockSlack = 10 * time.Minute

// Order is what a person says about alerts.
type Order struct {
	Verb Verb
	At   time.Time // when it was said
	By   string    // pseudonym of who said it, such as a hash of the Slack user, or the name of an API key; at most 64 bytes
	// Incident is what it is about: of the first three verbs.
	Incident uuid.UUID
	// Until is when a snooze or a suppression ends.
	Until time.Time
	// Tenant, Kind, Subject or Entity are whom a suppression is about, and Signal which: a whole name, or the empty string for all.
	Tenant  string
	Kind    anomaly.EntityKind
	Subject uuid.UUID
	Entity  string
	Signal  string
}

// Check says what is wrong with an order.
func (o *Order) Check() error {
	aboutIncident := false
	timed := false
	switch o.Verb {
	case Acknowledge, FalsePositive:
		aboutIncident = true
	case Snooze:
		aboutIncident, timed = true, true
	case Suppress:
		timed = true
	case Unsuppress:
	default:
		return fmt.Errorf("order: the verb is none of acknowledge, snooze, false_positive, suppress, unsuppress")
	}
	switch {
	case aboutIncident && o.Incident == uuid.Nil:
		return errors.New("order: an incident is missing")
	case timed && (!o.Until.After(o.At) || o.Until.Sub(o.At) > MaxSuppression):
		return fmt.Errorf("order: its end must lie within %d days from now", MaxSuppression/(24*time.Hour))
	case len(o.By) > 64:
		return errors.New("order: by whom: longer than 64 bytes")
	}
	if aboutIncident {
		return nil
	}
	switch o.Kind {
	case anomaly.EntitySubject:
		if o.Subject == uuid.Nil {
			return errors.New("order: a subject is missing")
		}
	case anomaly.EntityAgent, anomaly.EntityProducer:
		if o.Entity == "" {
			return fmt.Errorf("order: the %s is missing", o.Kind)
		}
	case anomaly.EntityTenant:
	default:
		return errors.New("order: the kind is none of subject, agent, tenant, producer")
	}
	if o.Tenant == "" {
		return errors.New("order: a tenant is missing")
	}
	return nil
}

// Record returns the order as a record of the system topic, to be signed.
func (o *Order) Record(by string) (events.Record, error) {
	if err := o.Check(); err != nil {
		return events.Record{}, err
	}
	tenant := o.Tenant
	if tenant == "" {
		tenant = author.Tenant
	}
	attributes := map[string]string{"by": o.By}
	add := func(name, value string, present bool) {
		if present {
			attributes[name] = value
		}
	}
	add("incident", o.Incident.String(), o.Incident != uuid.Nil)
	add("until", stamp(o.Until), !o.Until.IsZero())
	add("kind", string(o.Kind), o.Kind != "")
	add("subject", o.Subject.String(), o.Subject != uuid.Nil)
	add("entity", o.Entity, o.Entity != "")
	add("signal", o.Signal, o.Signal != "")
	return events.Record{
		EventID: events.NewUUID(o.At), Time: o.At, Type: TypeOrder, Action: string(o.Verb), Outcome: events.Success, Tenant: tenant,
		Agent: events.Agent{ID: by}, Attributes: attributes,
	}, nil
}

// ParseOrder reads an order. Its time is that of its record in Kafka, which its author cannot choose.
func ParseOrder(ev *events.Event, at time.Time) (Order, error) {
	o := Order{At: at, Verb: Verb(ev.Value(events.FieldAction, nil))}
	if tenant := string(ev.Value(events.FieldTenant, nil)); tenant != author.Tenant {
		o.Tenant = tenant
	}
	for i := range ev.NumAttributes() {
		key, raw := ev.RawAttribute(i)
		value := string(events.AppendUnescaped(nil, raw))
		var err error
		switch string(key) {
		case "by":
			o.By = value
		case "incident":
			o.Incident, err = uuid.Parse(value)
		case "until":
			o.Until, err = time.Parse(time.RFC3339Nano, value)
		case "kind":
			o.Kind = anomaly.EntityKind(value)
		case "subject":
			o.Subject, err = uuid.Parse(value)
		case "entity":
			o.Entity = value
		case "signal":
			o.Signal = value
		}
		if err != nil {
			return Order{}, fmt.Errorf("order: its %s cannot be read", key)
		}
	}
	if longest := at.Add(MaxSuppression); o.Until.After(longest) && !o.Until.After(longest.Add(clockSlack)) {
		o.Until = longest
	}
	return o, o.Check()
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
