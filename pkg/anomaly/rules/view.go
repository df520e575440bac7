package rules

import (
	"time"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// WindowView is what one entity has done in one window, and what it usually does. It is read while a Matcher looks at it and not kept.
//
// Windows do not overlap: a window of an hour is the hour of the clock in UTC in which its events lie, by their own time. So a replay has the same windows.
// Values only grow while a window fills, so a view may be judged at any moment: what holds then may be said at once.
type WindowView interface {
	// Tenant returns whose entity it is.
	Tenant() string
	// Entity returns the id of the agent; "" for a subject, whose pseudonym no condition sees, and for a tenant.
	Entity() string
	// Value returns the feature in the window so far.
	Value(f anomaly.WindowFeature) float64
	// Baseline returns the mean and the standard deviation of the feature over the entity's earlier windows of the same length, those without any event
	// left out, and how many windows that were. n is 0 where nothing is known: conditions then see zeros, and must ask for n themselves.
	Baseline(f anomaly.WindowFeature) (mean, std, n float64)
}

// Span is a kind of window that at least one rule asks for. An engine need not keep others.
type Span struct {
	Of   anomaly.EntityKind
	Over time.Duration // a minute, an hour or a day
}
