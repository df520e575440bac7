package anomaly

import (
	"errors"
	"fmt"
	"time"
)

// Config is what an Engine can be told.
type Config struct {
	// Threshold is the surprise at which the evidence of one minute becomes an incident: −log10 of the share of a user's days that hold as much by chance, 1 to
	// 6. It is the rate of false alerts per user and day that is put up with.
	Threshold float64
	// Least is the sum of evidence below which nothing is an incident, however rare it is where everybody does the same every day.
	Least float64
	// HalfLife is in what time an incident is forgotten by half: until then, only what clearly exceeds it is a new one.
	HalfLife time.Duration
	// Gap joins evidence about one entity that lies no further apart into one incident. A minute to a day.
	Gap time.Duration
	// LearnDays is for how many days a tenant's baselines are only learned. Rules and silence speak at once. 0 to 60.
	LearnDays int
	// AlertsPerDay is how many incidents of a tenant are alerted by themselves on one day (of UTC); what exceeds it is Summarised. Critical ones have ten times
	// that, and at least 500.
	AlertsPerDay int
	// Protected are the types of resources that nobody should come near in a new way.
	Protected []string
	// Bounds of what is kept, against producers that make names up: beyond them, newcomers have no baseline of their own.
	MaxSubjects, MaxAgents, MaxTenants, MaxProducers int
	// MaxFollowed is how many users, how many agents and how many tenants have series of their own, at 16 to 21 KB each: the most active ones. 0: nobody.
	MaxFollowed int
	// Rules are what an operator has declared; nil: none.
	Rules Rules
}

// Rules are conditions that an operator has declared.
type Rules interface {
	// Rule describes a condition by the number that stands in Observation.Matches, or that Windows has called fire with. false: there is no such rule (any more).
	Rule(number int) (Rule, bool)
	// Windows judges the windows of an entity that end with the minute that is looked at. It is called for entities that had events in it. fire takes the
	// number of a rule that holds, and for people what was seen: "cost_usd 312.55 (usually 1.20 ± 0.80)".
	Windows(view *WindowView, fire func(number int, observed string))
}

// Rule is what an incident says of a rule.
type Rule struct {
	ID       string
	Title    string
	Severity Severity
	// Expected says for people what is usual; "": nobody has said it.
	Expected string
}

// DefaultConfig is what is used where nothing is configured.
func DefaultConfig() Config {
	return Config{
		Threshold: 1.7, Least: 3, HalfLife: 36 * time.Hour, Gap: time.Hour, LearnDays: 4, AlertsPerDay: 50,
		Protected: []string{
			"secret", "credential", "key", "payment", "payroll", "bank_account", "patient", "health_record", "personal_data", "customer_export", "backup", "iam_role",
		},
		MaxSubjects: 5_000_000, MaxAgents: 100_000, MaxTenants: 10_000, MaxProducers: 100_000, MaxFollowed: 5000,
	}
}

// Validate names what is wrong and what is allowed.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Threshold >= 1 && c.Threshold <= 6, "threshold: %g, 1 to 6 expected", c.Threshold)
	check(c.Least >= 0 && c.Least <= 30, "least: %g, 0 to 30 expected", c.Least)
	check(c.HalfLife >= time.Hour && c.HalfLife <= 60*24*time.Hour, "half-life: %s, 1h to 1440h expected", c.HalfLife)
	check(c.Gap >= time.Minute && c.Gap <= 24*time.Hour, "gap: %s, 1m to 24h expected", c.Gap)
	check(c.LearnDays >= 0 && c.LearnDays <= 60, "learning days: %d, 0 to 60 expected", c.LearnDays)
	check(c.AlertsPerDay >= 0 && c.AlertsPerDay <= 1_000_000, "alerts a day: %d, 0 to 1000000 expected", c.AlertsPerDay)
	check(c.MaxSubjects > 0 && c.MaxAgents > 0 && c.MaxTenants > 0 && c.MaxProducers > 0, "bounds: must be positive")
	check(c.MaxFollowed >= 0 && c.MaxFollowed <= 1_000_000, "followed: %d, 0 to 1000000 expected", c.MaxFollowed)
	check(c.MaxSubjects <= 1<<30 && c.MaxAgents <= 1<<30, "bounds: at most %d", 1<<30)
	return errors.Join(errs...)
}
