package rules

import (
	"bytes"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// frame is what a condition is about: an event, or a window. Fields are read when they are asked for. It belongs to one goroutine.
type frame struct {
	set *Set
	// event and what belongs to it; nil for a window.
	event    *events.Event
	findings []scan.Finding
	threat   scan.Threat
	loop     string // the finding at hand
	view     WindowView

	// What CEL has asked for, made once for an event: a condition may ask in every round of a loop, and the cost of that is counted as one.
	names, pairs ref.Val

	clockKnown            bool
	hour, minute, weekday int

	scratch, other []byte // for values with escapes
}

var _ cel.Activation = (*frame)(nil)

func (f *frame) setEvent(ev *events.Event, findings []scan.Finding, threat scan.Threat) {
	if len(findings) > maxFindings {
		findings = findings[:maxFindings]
	}
	f.event, f.findings, f.threat, f.view, f.clockKnown = ev, findings, threat, nil, false
	f.names, f.pairs = nil, nil
}

func (f *frame) setWindow(view WindowView) {
	f.event, f.findings, f.view = nil, nil, view
}

// release forgets what the frame was about, which the caller uses again.
func (f *frame) release() {
	f.event, f.findings, f.view, f.loop = nil, nil, nil, ""
	f.names, f.pairs = nil, nil
}

// text returns the value of a text, valid until the next call.
func (f *frame) text(v variable) []byte {
	if v == varLoop {
		f.scratch = append(f.scratch[:0], f.loop...)
		return f.scratch
	}
	return f.event.Value(variables[v].field, f.scratch)
}

// attribute returns the value of an attribute, valid until the next call.
func (f *frame) attribute(key []byte) ([]byte, bool) {
	for i := range f.event.NumAttributes() {
		k, v := f.event.RawAttribute(i)
		if bytes.IndexByte(k, '\\') >= 0 {
			f.other = events.AppendUnescaped(f.other[:0], k)
			k = f.other
		}
		if !bytes.Equal(k, key) {
			continue
		}
		if bytes.IndexByte(v, '\\') >= 0 {
			f.scratch = events.AppendUnescaped(f.scratch[:0], v)
			v = f.scratch
		}
		return v, true
	}
	return nil, false
}

// number returns the value of a number. Whole ones are below 2^54 and, but for a sum of two counts beyond 2^53, exact.
func (f *frame) number(v variable) float64 {
	if v == varCost {
		return f.event.CostUSD()
	}
	return float64(f.whole(v))
}

func (f *frame) whole(v variable) int64 {
	switch v {
	case varTokens:
		return int64(f.event.Uint(events.FieldInputTokens) + f.event.Uint(events.FieldOutputTokens))
	case varDataSubjects:
		return int64(f.event.NumDataSubjects())
	case varThreat:
		return int64(f.threat)
	case varFindingCount:
		return int64(len(f.findings))
	case varHour, varMinute, varWeekday:
		return f.clock(v)
	}
	return int64(f.event.Uint(variables[v].field))
}

// clock returns the time of day, or the day from Monday = 1 to Sunday = 7, where the rules say that the clock stands.
func (f *frame) clock(v variable) int64 {
	if !f.clockKnown {
		at := time.UnixMicro(f.event.TimeMicros()).In(f.set.location)
		f.hour, f.minute, f.weekday = at.Hour(), at.Minute(), int(at.Weekday())
		if f.weekday == 0 {
			f.weekday = 7
		}
		f.clockKnown = true
	}
	switch v {
	case varHour:
		return int64(f.hour)
	case varMinute:
		return int64(f.minute)
	}
	return int64(f.weekday)
}

func (f *frame) truth(v variable) bool {
	switch v {
	case varHasUser:
		return f.event.Has(events.FieldUserID)
	case varApprovalGiven:
		return f.event.Has(events.FieldApprovalApprover)
	}
	// Identities are compared here and shown to no condition.
	if !f.event.Has(events.FieldUserID) || !f.event.Has(events.FieldApprovalApprover) {
		return false
	}
	return bytes.Equal(f.event.Value(events.FieldUserID, f.scratch), f.event.Value(events.FieldApprovalApprover, f.other))
}

// quantity returns a number of a window.
func (f *frame) quantity(n windowName) float64 {
	if n.part == inWindow {
		return f.view.Value(n.feature)
	}
	mean, std, count := f.view.Baseline(n.feature)
	switch n.part {
	case baselineMean:
		return mean
	case baselineStd:
		return std
	}
	return count
}

// ResolveName hands a value to CEL.
func (f *frame) ResolveName(name string) (any, bool) {
	if list, ok := f.set.listVariables[name]; ok {
		return list, true
	}
	if f.view != nil {
		switch name {
		case "tenant":
			return types.String(f.view.Tenant()), true
		case "entity":
			return types.String(f.view.Entity()), true
		}
		n, ok := windowNames[name]
		if !ok {
			return nil, false
		}
		return types.Double(f.quantity(n)), true
	}
	v := variablesByName[name]
	switch {
	case v == varNone || f.event == nil:
		return nil, false
	case v.isText():
		return types.String(f.text(v)), true
	case v == varCost:
		return types.Double(f.event.CostUSD()), true
	case v.isNumber():
		return types.Int(f.whole(v)), true
	case v.isBool():
		return types.Bool(f.truth(v)), true
	case v == varFindings:
		if f.names == nil {
			f.names = f.findingNames()
		}
		return f.names, true
	}
	if f.pairs == nil {
		f.pairs = f.attributePairs()
	}
	return f.pairs, true
}

func (f *frame) findingNames() ref.Val {
	names := make([]string, len(f.findings))
	for i := range f.findings {
		names[i] = f.findings[i].Name
	}
	return types.NewStringList(types.DefaultTypeAdapter, names)
}

func (f *frame) attributePairs() ref.Val {
	pairs := make(map[string]string, f.event.NumAttributes())
	for i := range f.event.NumAttributes() {
		key, value := f.event.RawAttribute(i)
		pairs[string(events.AppendUnescaped(f.scratch[:0], key))] = string(events.AppendUnescaped(f.other[:0], value))
	}
	return types.NewStringStringMap(types.DefaultTypeAdapter, pairs)
}

// Parent is nil: there is nothing else to know.
func (f *frame) Parent() cel.Activation { return nil }
