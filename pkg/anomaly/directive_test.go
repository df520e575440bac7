package anomaly

import "testing"

// TestSuppressedAtOnce: a directive takes effect when its minute closes, minutes later; what is said at once of open minutes must not break the silence till then.
func TestSuppressedAtOnce(t *testing.T) {
	f := func(about string, want int, directives ...Directive) {
		t.Helper()
		e := testEngine(t, nil)
		for _, d := range directives {
			d.Tenant = "acme"
			e.Direct(d)
		}
		o := testEvent(1, 1, 60)
		o.Matches = []int{3}
		e.Observe(&o)
		provisional := 0
		for _, in := range e.Take(nil) {
			if in.Status == Provisional && in.Kind == EntitySubject {
				provisional++
			}
		}
		if provisional != want {
			t.Errorf("%s: %d provisional incidents, want %d", about, provisional, want)
		}
	}
	silence := Directive{Kind: Suppress, At: testStart, Until: testStart + 3600e6, Of: EntitySubject, Subject: testSubject(1)}
	f("nothing was said", 1)
	f("all signals", 0, silence)
	one, other, later, past := silence, silence, silence, silence
	one.Signals, other.Signals = []string{"rule.*"}, []string{"rate.*"}
	f("this signal", 0, one)
	f("another signal", 1, other)
	other = silence
	other.Subject = testSubject(2)
	f("another user", 1, other)
	later.At = testStart + 120e6
	f("later", 1, later)
	past.Until = testStart + 60e6
	f("over", 1, past)
	lift := Directive{Kind: Lift, At: testStart + 30e6, Of: EntitySubject, Subject: testSubject(1)}
	f("lifted again", 1, silence, lift)
	lift.At = testStart + 120e6
	f("lifted later", 0, silence, lift)
	f("acknowledged", 1, Directive{Kind: Acknowledge, At: testStart})
}

func TestSuppressAndFalsePositive(t *testing.T) {
	e := testEngine(t, nil)
	e.Direct(Directive{Kind: Suppress, At: testStart, Until: testStart + 3600e6, Tenant: "acme", Of: EntitySubject, Subject: testSubject(1), Signals: []string{"rule.*"}})
	for n, second := range []int64{60, 1800, 7200} {
		o := testEvent(n, 1, second)
		o.Matches = []int{3}
		e.Observe(&o)
	}
	var finals []Incident
	for _, in := range closeAll(e) {
		if in.Status == Final {
			finals = append(finals, in)
		}
	}
	if len(finals) != 1 || finals[0].First.UnixMicro() != testStart+7200e6 {
		t.Errorf("%+v", finals)
	}
	b := bar{signal: "rate.*"}
	if !b.matches("rate.cost") || b.matches("value.cost") || b.matches("rate") {
		t.Error("a star stands for what is below")
	}
}
