package privacy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// produceRaw sends a record that may be no event.
func (r *rig) produceRaw(text string) {
	r.t.Helper()
	if err := r.Kafka.Produce(r.t.Context(), r.Ingest.EventsTopic, []kafkaio.Message{{Value: []byte(text)}}); err != nil {
		r.t.Fatal(err)
	}
}

// awaitCovered waits until a signed checkpoint covers all events.
func (r *rig) awaitCovered() {
	r.t.Helper()
	log := chain.LogName(r.Ingest.EventsTopic, 0, 0)
	testkit.Eventually(r.t, soon, func() bool {
		head, err := r.Store.Head(r.t.Context(), log)
		if err != nil {
			return false
		}
		point, _, err := r.Vault.Checkpoint(r.t.Context(), log)
		return err == nil && point.Size == head.Size
	}, "a checkpoint covers all events")
}

// affected lists whom a breach affects as user (or "erased") with the counts.
func (r *rig) affected(b *vault.Breach, names Names) []string {
	r.t.Helper()
	var list []string
	err := BreachSubjects(r.t.Context(), r.Store, r.Vault, b, names, func(a Affected) error {
		who := a.Who.User
		if a.Erased {
			who = "erased"
		}
		list = append(list, who+" "+strings.Repeat("a", int(a.Acted))+strings.Repeat("t", int(a.Touched)))
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// From its opening to its report: what is affected is counted in the log, each step stands there, and people who are erased meanwhile are counted as such.
func TestBreach(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		begin := time.Now().UTC()
		for range 3 {
			r.produce("mia", "")
			r.produce("noah", "mia")
		}
		r.awaitSealed()
		r.produceRaw("not an event of ada's")
		r.awaitSealed()
		until := time.Now().UTC().Add(time.Minute)
		r.awaitCovered()
		detected := time.Now().Add(-time.Hour)
		b, missing, err := OpenBreach(t.Context(), r.Store, r.Vault, BreachOpening{
			Reason: "a key was stolen", Detected: detected, Notice: 72 * time.Hour, Scope: gdpr.BreachScope{Since: &begin, Until: &until, Tenant: "acme"},
		})
		if err != nil || len(missing) != 0 || b.Due.Sub(b.Detected) != 72*time.Hour {
			t.Fatalf("%+v, %v, %v", b, missing, err)
		}
		stored, found, err := r.Vault.Breach(t.Context(), b.ID)
		if err != nil || !found {
			t.Fatal(found, err)
		}
		scope, opening, err := ReadBreach(&stored)
		if err != nil || scope.Tenant != "acme" || !scope.Since.Equal(begin) || opening.Entries != 6 || opening.Subjects != 2 || opening.Erased != 0 ||
			opening.Rejected != nil || len(opening.Logs) != 1 || !opening.Logs[0].Covered || opening.Logs[0].Entries != 6 || opening.Logs[0].Checkpoint == "" {
			t.Fatalf("%+v, %+v, %v", scope, opening, err)
		}
		if got := r.affected(&stored, AllNames); !slices.Equal(got, []string{"mia aaattt", "noah aaa"}) {
			t.Errorf("affected: %q", got)
		}
		if got := r.affected(&stored, NoNames); !slices.Equal(got, []string{" aaa", " aaattt"}) {
			t.Errorf("affected, without names: %q", got)
		}
		// Time alone: what could not be read may be anybody's.
		anybody, _, err := OpenBreach(t.Context(), r.Store, r.Vault, BreachOpening{
			Reason: "a disk was lost", Detected: detected.Add(-80 * time.Hour), Notice: 72 * time.Hour, Scope: gdpr.BreachScope{Since: &begin, Until: &until},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, opening, err := ReadBreach(&anybody); err != nil || opening.Rejected == nil || *opening.Rejected != 1 {
			t.Errorf("%+v, %v", opening, err)
		}

		metrics := prometheus.NewRegistry()
		clock, err := NewBreachClock(r.Vault, metrics, r.Log)
		if err != nil {
			t.Fatal(err)
		}
		r.Run(clock.Run)
		shown := func(want ...vault.Breach) {
			t.Helper()
			text := ""
			for _, b := range want {
				text += fmt.Sprintf("agentaudit_gdpr_breach_deadline_seconds{breach=%q} %d\n", gdpr.SubjectID(b.ID), b.Due.Unix())
			}
			if text != "" {
				text = "# HELP agentaudit_gdpr_breach_deadline_seconds When the authority must have been told of an open breach, in seconds since 1970; " +
					"only of breaches of which it was not told.\n# TYPE agentaudit_gdpr_breach_deadline_seconds gauge\n" + text
			}
			testkit.Eventually(t, soon, func() bool { return testutil.GatherAndCompare(metrics, strings.NewReader(text)) == nil }, "the deadlines are shown")
		}
		shown(b, anybody)
		if problems, err := testutil.GatherAndLint(metrics); err != nil || len(problems) > 0 {
			t.Error(problems, err)
		}

		r.start()
		if ended := r.awaitEnd(r.submit(erasureOf("mia"))); ended.State != gdpr.StateCompleted {
			t.Fatalf("%s: %s", ended.State, ended.Reason)
		}
		if now, err := MeasureBreach(t.Context(), r.Store, r.Vault, &stored); err != nil || now.Entries != 6 || now.Subjects != 2 || now.Erased != 1 {
			t.Errorf("after an erasure: %+v, %v", now, err)
		}
		if got := r.affected(&stored, AllNames); !slices.Equal(got, []string{"erased aaattt", "noah aaa"}) {
			t.Errorf("affected, after an erasure: %q", got)
		}
		for _, to := range []gdpr.Addressee{gdpr.ToAuthority, gdpr.ToSubjects} {
			if done, err := NoteBreachNotice(t.Context(), r.Vault, &stored, to, "case 12"); err != nil || !done {
				t.Fatal(done, err)
			}
		}
		shown(anybody)
		closed, err := CloseBreach(t.Context(), r.Store, r.Vault, b.ID, "the key was replaced")
		if err != nil {
			t.Fatal(err)
		}
		var report gdpr.BreachReport
		if err := json.Unmarshal([]byte(closed.Report), &report); err != nil || report.Breach != gdpr.SubjectID(b.ID).String() || report.Opening.Erased != 0 ||
			report.Closing.Erased != 1 || len(report.Notices) != 2 || report.Notices[0].To != gdpr.ToAuthority || report.Why != "the key was replaced" {
			t.Errorf("%+v, %v", report, err)
		}
		// An hour has passed since the detection.
		if left := report.Notices[0].BeforeDeadline / 3600; left < 70 || left > 71 {
			t.Errorf("told %.1f h before the deadline", left)
		}
		if _, err := CloseBreach(t.Context(), r.Store, r.Vault, b.ID, "again"); !errors.Is(err, ErrBreachClosed) {
			t.Errorf("closed twice: %v", err)
		}
		if _, err := CloseBreach(t.Context(), r.Store, r.Vault, anybody.ID, "nothing was on it"); err != nil {
			t.Fatal(err)
		}
		shown()

		var steps []store.Found
		testkit.Eventually(t, soon, func() bool {
			steps, err = r.Store.FindEvents(t.Context(), store.Filter{Type: typeBreach, Limit: 100})
			return err == nil && len(steps) == 6
		}, "six steps of two breaches in the log")
		sum := sha256.Sum256([]byte(closed.Report))
		for _, want := range []string{`"reason":"a key was stolen"`, `"to":"authority"`, `"to":"subjects"`, `"report_sha256":"` + hex.EncodeToString(sum[:]) + `"`} {
			if !slices.ContainsFunc(steps, func(f store.Found) bool { return strings.Contains(string(f.Entry), want) }) {
				t.Errorf("%s is in no entry", want)
			}
		}
		for _, f := range steps {
			if testkit.Mentions(string(f.Entry), "mia", "noah") {
				t.Errorf("it names somebody: %s", f.Entry)
			}
		}
		r.wantGood()
	})
}

// A breach of listed events has those that are stored, and says which are not.
func TestBreachOfListedEvents(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "noah")
	r.produce("ada", "")
	r.awaitSealed()
	found, err := r.Store.FindEvents(t.Context(), store.Filter{Type: "tool.call", Limit: 10})
	if err != nil || len(found) != 2 {
		t.Fatal(len(found), err)
	}
	var first struct {
		Event struct {
			ID uuid.UUID `json:"event_id"`
		} `json:"event"`
	}
	if err := json.Unmarshal(found[0].Entry, &first); err != nil {
		t.Fatal(err)
	}
	stranger := [16]byte{1}
	o := BreachOpening{Reason: "mail to the wrong person", Detected: time.Now(), Notice: time.Hour, Events: [][16]byte{stranger, first.Event.ID}}
	b, missing, err := OpenBreach(t.Context(), r.Store, r.Vault, o)
	if err != nil || len(missing) != 1 || missing[0] != stranger || len(b.Entries) != 1 {
		t.Fatalf("%+v, missing %v, %v", b, missing, err)
	}
	stored, _, err := r.Vault.Breach(t.Context(), b.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.affected(&stored, AllNames); !slices.Equal(got, []string{"mia a", "noah t"}) {
		t.Errorf("affected: %q", got)
	}
	o.Events = [][16]byte{stranger}
	if _, missing, err := OpenBreach(t.Context(), r.Store, r.Vault, o); !errors.Is(err, ErrNoEvents) || len(missing) != 1 {
		t.Errorf("opened with nothing: %v, %v", missing, err)
	}
	if list, err := r.Vault.Breaches(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%d breaches, %v", len(list), err)
	}
	now, tomorrow := time.Now(), time.Now().Add(24*time.Hour)
	for name, wrong := range map[string]BreachOpening{
		"no reason": {Detected: now, Scope: gdpr.BreachScope{Since: &now, Until: &tomorrow}},
		"no time":   {Reason: "r", Detected: now},
		"no end":    {Reason: "r", Detected: now, Scope: gdpr.BreachScope{Since: &now}},
		"backwards": {Reason: "r", Detected: now, Scope: gdpr.BreachScope{Since: &tomorrow, Until: &now}},
		"future":    {Reason: "r", Detected: tomorrow, Scope: gdpr.BreachScope{Since: &now, Until: &tomorrow}},
		"too many":  {Reason: "r", Detected: now, Events: make([][16]byte, MaxBreachEvents+1)},
		"too long":  {Reason: strings.Repeat("r", 20_000), Detected: now, Scope: gdpr.BreachScope{Since: &now, Until: &tomorrow}},
	} {
		if _, _, err := OpenBreach(t.Context(), r.Store, r.Vault, wrong); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}
