package anomaly

// Critical incidents have a larger budget than others, but one: who can write events could make up thousands of them, behind which a real one would wait for hours.
const (
	criticalFactor = 10
	leastCriticals = 500
)

// spend takes an incident from the tenant's budget of the day, or marks it as summarised.
func (e *Engine) spend(t *tenant, in *ongoing, number int64) {
	if day := floorDiv(number, minutesOfDay); day != t.budgetDay {
		t.budgetDay, t.alerted = day, 0
	}
	t.dirty = true
	if in.Summarised = t.alerted >= e.budget(in.Severity); !in.Summarised {
		t.alerted++
	}
}

// budget is how many incidents of a tenant may be alerted by themselves on a day before one of that severity is summarised.
func (e *Engine) budget(s Severity) int {
	if s == Critical {
		return max(criticalFactor*e.cfg.AlertsPerDay, leastCriticals)
	}
	return e.cfg.AlertsPerDay
}

// beyondBudget tells whether what is found in an open minute, and stands among the provisional incidents, is likely to be summarised.
func (e *Engine) beyondBudget(t *tenant, s Severity, number int64) bool {
	room := e.budget(s)
	if floorDiv(number, minutesOfDay) == t.budgetDay {
		room -= t.alerted
	}
	return e.found.moreEarly(t.index, room)
}

// moreEarly tells whether a tenant has more provisional incidents than that. It does not count on: when thousands begin in one minute each would count all others.
func (f *incidents) moreEarly(tenant uint32, than int) bool {
	n := 0
	for _, in := range f.early {
		if n > than {
			break
		}
		if in.key.tenant == tenant {
			n++
		}
	}
	return n > than
}
