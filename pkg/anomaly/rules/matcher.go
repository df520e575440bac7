package rules

import (
	"sync/atomic"
	"time"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// Matcher tells which rules hold. It belongs to one goroutine.
type Matcher struct {
	set     *Set
	current *atomic.Pointer[Set] // nil: the set stays
	frame   frame
	byType  map[string][]int // rules on events, by type
}

// maxKnownTypes bounds byType: a producer may make up types without end.
const maxKnownTypes = 1024

// Matcher returns a matcher of this set.
func (s *Set) Matcher() *Matcher {
	m := &Matcher{frame: frame{scratch: make([]byte, 0, 4096), other: make([]byte, 0, 4096)}}
	m.use(s)
	return m
}

func (m *Matcher) use(s *Set) {
	m.set, m.frame.set, m.byType = s, s, map[string][]int{}
}

// follow takes a newer set if there is one.
func (m *Matcher) follow() {
	if m.current == nil {
		return
	}
	if s := m.current.Load(); s != m.set {
		m.use(s)
	}
}

// Set returns the set that the last Match or Window used.
func (m *Matcher) Set() *Set { return m.set }

// Match appends the numbers of the enabled rules on events that hold for an event. findings and threat are what its texts have shown; only the first 64
// findings count. It allocates nothing unless a condition needs CEL: see native.
func (m *Matcher) Match(dst []int, ev *events.Event, findings []scan.Finding, threat scan.Threat) []int {
	m.follow()
	rules, ok := m.byType[string(ev.Value(events.FieldType, nil))]
	if !ok {
		rules = m.rulesOn(string(ev.Value(events.FieldType, nil)))
	}
	if len(rules) == 0 {
		return dst
	}
	m.frame.setEvent(ev, findings, threat)
	dst = m.all(dst, rules)
	m.frame.release()
	return dst
}

// Window appends the numbers of the enabled rules on windows of this kind and length that hold for a view.
func (m *Matcher) Window(dst []int, of anomaly.EntityKind, over time.Duration, view WindowView) []int {
	m.follow()
	rules := m.set.windows[Span{of, over}]
	if len(rules) == 0 {
		return dst
	}
	m.frame.setWindow(view)
	dst = m.all(dst, rules)
	m.frame.release()
	return dst
}

// all appends those of the rules that hold. A mistake of ours in one of them must not end detection, and with it all others, at the first event that shows it, and
// again at each restart: its condition could not be told.
func (m *Matcher) all(dst, rules []int) []int {
	begun := len(dst)
	dst, ok := m.tryAll(dst, rules)
	if ok {
		return dst
	}
	dst = dst[:begun]
	for k, i := range rules {
		one, ok := m.tryAll(dst, rules[k:k+1])
		if dst = one; !ok {
			m.set.counters[i].broken.Add(1)
		}
	}
	return dst
}

// tryAll is false if a condition panicked.
func (m *Matcher) tryAll(dst, rules []int) (holding []int, ok bool) {
	holding = dst
	defer func() {
		if !ok {
			recover() //nolint:errcheck // what it says may show the event
		}
	}()
	for _, i := range rules {
		if m.judge(i) {
			holding = append(holding, i)
		}
	}
	return holding, true
}

func (m *Matcher) judge(i int) bool {
	switch m.set.conditions[i].judge(&m.frame) {
	case holds:
		return true
	case broken:
		m.set.counters[i].broken.Add(1)
	case cut:
		m.set.counters[i].cut.Add(1)
	}
	return false
}

// rulesOn finds the rules for a type that was not seen before.
func (m *Matcher) rulesOn(eventType string) []int {
	var rules []int
	for i := range m.set.rules {
		r := &m.set.rules[i]
		if r.Enabled && r.Event != "" && m.set.conditions[i] != nil && covers(r.On, eventType) {
			rules = append(rules, i)
		}
	}
	if len(m.byType) >= maxKnownTypes {
		m.byType = map[string][]int{}
	}
	m.byType[eventType] = rules
	return rules
}
