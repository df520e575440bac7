package vault

import (
	"slices"
	"testing"
	"time"
)

func incidentNotice(n byte, revision uint32, at time.Time) Notice {
	return Notice{ID: [16]byte{n}, Kind: NoticeIncident, Part: 1, Revision: revision, Severity: 3, Status: "provisional", Tenant: "acme", At: at, Changed: at, Body: `{"a":1}`}
}

func TestNotices(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		now := time.Now().UTC().Truncate(time.Microsecond)
		keep := func(n Notice, want bool, targets ...string) {
			t.Helper()
			if changed, err := v.KeepNotice(t.Context(), n, targets); err != nil || changed != want {
				t.Fatalf("changed %v, want %v, %v", changed, want, err)
			}
		}
		// next checks what comes next, and says that the receiver was told.
		next := func(id byte, version int64, at time.Time) NoticePost {
			t.Helper()
			p, ok, err := v.NextPost(t.Context(), "slack:C1", 1, at)
			if err != nil || ok != (id != 0) || ok && (p.Notice.ID != [16]byte{id} || p.Notice.Version != version) {
				t.Fatalf("%+v, %v, %v; want notice %d, version %d", p, ok, err, id, version)
			}
			return p
		}
		store := func(p NoticePost) {
			t.Helper()
			if err := v.KeepPost(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
		next(0, 0, now)
		keep(incidentNotice(1, 1, now), true, "slack:C1", "webhook")
		keep(incidentNotice(1, 1, now), false, "slack:C1", "slack:C2") // repeated
		keep(incidentNotice(2, 1, now.Add(time.Second)), true, "slack:C1")
		if p, ok, err := v.NextPost(t.Context(), "slack:C1", 0, now); err != nil || ok {
			t.Errorf("of another partition: %+v, %v", p, err)
		}
		// A later revision keeps its place in the queue and overtakes the earlier one.
		keep(incidentNotice(1, 3, now.Add(2*time.Second)), true)
		keep(incidentNotice(1, 2, now.Add(2*time.Second)), false)
		p := next(1, 2, now)
		if p.Notice.Revision != 3 || !p.Waiting.Equal(now) || p.Notice.Body != `{"a":1}` || p.Notice.Tenant != "acme" || !p.Notice.Verdict.At.IsZero() {
			t.Errorf("%+v", p)
		}
		p.Posting = now
		store(p)
		if p = next(1, 2, now); !p.Posting.Equal(now) {
			t.Errorf("%+v", p)
		}
		// The notice changes while it is posted.
		keep(incidentNotice(1, 4, now.Add(3*time.Second)), true)
		p.Posting, p.SentVersion, p.SentRevision, p.Channel, p.TS = time.Time{}, 2, 3, "C1", "1.2"
		store(p)
		if n, since, err := v.Waiting(t.Context(), "slack:C1"); err != nil || n != 2 || !since.Equal(now) {
			t.Errorf("%d wait since %v, %v", n, since, err)
		}
		// What the receiver knows nothing of comes before what has changed.
		other := next(2, 1, now)
		other.NotBefore = now.Add(time.Hour)
		store(other)
		if p = next(1, 3, now); p.TS != "1.2" || p.Channel != "C1" || p.SentRevision != 3 || !p.Posting.IsZero() {
			t.Errorf("%+v", p)
		}
		p.SentVersion = 3
		store(p)
		p = next(1, 3, now) // its details
		p.ToldVersion, p.Told, p.Telling = 3, "high", now
		store(p)
		next(0, 0, now)
		next(2, 1, now.Add(time.Hour)) // once it may be tried again

		// What people say has the receivers told again, once.
		said := NoticeVerdict{Verdict: "snoozed", By: "somebody", Until: now.Add(time.Hour), At: now}
		for i, want := range []bool{true, false} {
			if changed, err := v.SetVerdict(t.Context(), [16]byte{1}, said); err != nil || changed != want {
				t.Fatal(i, changed, err)
			}
		}
		if changed, err := v.SetVerdict(t.Context(), [16]byte{9}, said); err != nil || changed {
			t.Error("of no incident", changed, err)
		}
		if p = next(1, 4, now); p.Notice.Verdict != said || !p.Telling.Equal(now) || p.Told != "high" {
			t.Errorf("%+v", p)
		}
		if n, ok, err := v.Notice(t.Context(), [16]byte{1}); err != nil || !ok || n != p.Notice {
			t.Errorf("%+v, %v, %v", n, ok, err)
		}
		if posts, err := v.Posts(t.Context(), [16]byte{1}); err != nil || len(posts) != 2 || posts[0] != p || posts[1].Target != "webhook" {
			t.Errorf("%+v, %v", posts, err)
		}

		// Receivers that are no more.
		if targets, err := v.WaitingTargets(t.Context(), 1); err != nil || !slices.Equal(targets, []string{"slack:C1", "webhook"}) {
			t.Errorf("%v, %v", targets, err)
		}
		unsent, err := v.Unsent(t.Context(), "slack:C1", 1, 10)
		if err != nil || len(unsent) != 1 || unsent[0].ID != [16]byte{2} {
			t.Fatalf("%+v, %v", unsent, err)
		}
		if err := v.MovePost(t.Context(), [16]byte{2}, "slack:C1", "slack:C2"); err != nil {
			t.Fatal(err)
		}
		if n, err := v.SettlePosts(t.Context(), "slack:C1", 1); err != nil || n != 1 {
			t.Errorf("%d settled, %v", n, err)
		}
		if p, ok, err := v.NextPost(t.Context(), "slack:C2", 1, now); err != nil || !ok || p.Notice.ID != [16]byte{2} || !p.Waiting.Equal(now.Add(time.Second)) {
			t.Errorf("%+v, %v", p, err)
		}
		next(0, 0, now)
	})
}

func TestNoticesAreCountedAndDeleted(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		day := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
		for i, n := range []Notice{
			incidentNotice(1, 1, day), incidentNotice(2, 1, day.Add(time.Hour)), incidentNotice(3, 1, day.Add(24*time.Hour)),
			{ID: [16]byte{4}, Kind: NoticeIncident, Revision: 1, Severity: 1, Status: "final", Summarised: true, Tenant: "other", At: day, Changed: day, Body: "{}"},
			{ID: [16]byte{5}, Kind: NoticeDigest, Revision: 1, At: day, Changed: day, Body: "{}"},
		} {
			targets := []string{"webhook"}
			if i%2 == 0 {
				targets = nil
			}
			if _, err := v.KeepNotice(t.Context(), n, targets); err != nil {
				t.Fatal(err)
			}
		}
		counts, err := v.CountNotices(t.Context(), day, day.Add(24*time.Hour))
		want := []NoticeCount{{"acme", 3, "provisional", false, 2}, {"other", 1, "final", true, 1}}
		if err != nil || !slices.Equal(counts, want) {
			t.Errorf("%+v, %v", counts, err)
		}
		if n, ok, err := v.LatestNotice(t.Context(), NoticeDigest); err != nil || !ok || n.ID != [16]byte{5} {
			t.Errorf("%+v, %v", n, err)
		}
		// Numbers 2 and 4 wait for a receiver, and number 3 is too young.
		if n, err := v.DeleteNotices(t.Context(), day.Add(2*time.Hour)); err != nil || n != 2 {
			t.Errorf("%d deleted, %v", n, err)
		}
		p, ok, err := v.NextPost(t.Context(), "webhook", 1, day)
		if err != nil || !ok || p.Notice.ID != [16]byte{2} {
			t.Fatalf("%+v, %v", p, err)
		}
		p.SentVersion, p.ToldVersion = 1, 1
		if err := v.KeepPost(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if n, err := v.DeleteNotices(t.Context(), day.Add(2*time.Hour)); err != nil || n != 1 {
			t.Errorf("%d deleted, %v", n, err)
		}
		if _, ok, err := v.LatestNotice(t.Context(), NoticeDigest); err != nil || ok {
			t.Errorf("a digest is left, %v", err)
		}
	})
}
