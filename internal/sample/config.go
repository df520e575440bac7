package sample

import (
	"errors"
	"time"
)

// Config says what traffic to make.
type Config struct {
	Seed uint64
	// Start is the time of the first events.
	Start time.Time
	// Tenants and Users in all of them; each tenant gets about as many.
	Tenants, Users int
	// EventsPerSecond is the mean over a week, without the incident. By day and night, workday and
	// weekend the rate differs up to some times.
	EventsPerSecond float64
	// Incident is nil for none.
	Incident *Incident
}

// Incident is a support agent that obeys a prompt in a tool's output. From At on, for the time
// Lasting, it calls models and send_email in its user's session.
type Incident struct {
	At      time.Time
	Lasting time.Duration
	// EventsPerSecond of the incident: about half of them are e-mails, a third expensive model calls.
	EventsPerSecond float64
}

// DefaultConfig is what "up --sample" streams: some hundred users of five companies.
func DefaultConfig() Config {
	return Config{Seed: 1, Tenants: 5, Users: 600, EventsPerSecond: 50}
}

// DefaultIncident is one of ten minutes.
func DefaultIncident(at time.Time) *Incident {
	return &Incident{At: at, Lasting: 10 * time.Minute, EventsPerSecond: 8}
}

// Validate says what is wrong, naming the field.
func (c *Config) Validate() error {
	switch {
	case c.Start.IsZero():
		return errors.New("sample.Config.Start: must be set")
	case c.Tenants < 1 || c.Tenants > len(tenants):
		return errors.New("sample.Config.Tenants: must be between 1 and 8")
	case c.Users < c.Tenants || c.Users > 10_000_000:
		return errors.New("sample.Config.Users: must be between the number of tenants and 10000000")
	case !(c.EventsPerSecond > 0 && c.EventsPerSecond <= 1e6):
		return errors.New("sample.Config.EventsPerSecond: must be above 0 and at most 1000000")
	}
	if in := c.Incident; in != nil {
		switch {
		case in.At.Before(c.Start):
			return errors.New("sample.Config.Incident.At: must not be before Start")
		case in.Lasting <= 0:
			return errors.New("sample.Config.Incident.Lasting: must be positive")
		case !(in.EventsPerSecond > 0 && in.EventsPerSecond <= 1000):
			return errors.New("sample.Config.Incident.EventsPerSecond: must be above 0 and at most 1000")
		}
	}
	return nil
}
