package ingest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// eventWith is an event of one person that names another one, at a time.
func eventWith(user, other string, at time.Time) []byte {
	return fmt.Appendf(nil, `{"schema":"agentaudit.event/v1","event_id":"%s","time":"%s","type":"tool.call","action":"call","outcome":"success","tenant":"acme","user_id":"%s","data_subjects":["%s"],"session_id":"s-1","source":{"ip":"192.0.2.1"},"content":{"input":"hello"}}`,
		uuid.New(), at.UTC().Format(time.RFC3339Nano), user, other)
}

// sealedEvent is what stands in an entry of an event.
type sealedEvent struct {
	offset   int64
	subject  [16]byte
	others   [][16]byte
	content  bool
	session  bool
	findings []string
}

func (r *rig) sealedEvents(log string) (list []sealedEvent) {
	r.t.Helper()
	var e chain.Entry
	err := r.store.Scan(context.Background(), log, 0, func(_ uint64, entry []byte, _ chain.Hash) error {
		if err := chain.ParseEntry(entry, &e); err != nil {
			return err
		}
		if e.Header.Kind == chain.KindEvent {
			list = append(list, sealedEvent{
				offset: e.Header.Source.Offset, subject: e.Subject, others: slices.Clone(e.DataSubjects), content: e.Content != nil,
				session: bytes.Contains(e.Event, []byte(`"session_id"`)) || len(e.IP) > 0, findings: slices.Clone(e.Findings),
			})
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// TestErasedInTheBacklog erases somebody of whom records are still unread: they are sealed as nobody's, whoever's event names the person, and what comes later is
// a stranger's.
func TestErasedInTheBacklog(t *testing.T) {
	r := newRig(t, testkit.EmbeddedKafka(t).Address, 1)
	_, stop := r.start()
	past := time.Now().Add(-time.Hour)
	r.produce(eventWith("mia", "noah", past))
	r.awaitSealed(1)
	stop()
	const backlog = 50
	for range backlog {
		r.produce(eventWith("mia", "noah", past), eventWith("noah", "mia", past), eventWith("noah", "ada", past))
	}
	mia, found, err := r.vault.Find(t.Context(), vault.Identity{Tenant: "acme", User: "mia"})
	if err != nil || !found {
		t.Fatal(found, err)
	}
	partition := chain.LogName(r.cfg.EventsTopic, 0, 0)
	_, end, err := r.kafka.Offsets(t.Context(), r.cfg.EventsTopic, 0)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if _, _, err := r.vault.Erase(t.Context(), vault.Erasure{Request: [16]byte{1}, Subject: mia.ID, At: now, Suppression: vault.Suppression{
		Until: now, Offsets: map[string]int64{partition: end}, Expires: now.Add(time.Hour),
	}}); err != nil {
		t.Fatal(err)
	}
	// From a producer's spool: late, and from before.
	r.produce(eventWith("mia", "noah", past))
	later := now.Add(time.Minute)
	r.produce(eventWith("mia", "noah", later), eventWith("noah", "mia", later))
	r.start()
	r.awaitSealed(1)

	list := r.sealedEvents(partition)
	if want := 1 + 3*backlog + 3; len(list) != want {
		t.Fatalf("%d events of %d", len(list), want)
	}
	noah := list[0].others[0]
	var stranger gdpr.SubjectID
	for i, e := range list[1:] {
		erased := slices.Contains(e.findings, findingErased)
		switch {
		case i == 3*backlog+1: // mia's, later
			stranger = e.subject
			if erased || !e.content || !e.session || stranger == mia.ID || stranger == (gdpr.SubjectID{}) || e.others[0] != noah {
				t.Errorf("later: %+v", e)
			}
		case i == 3*backlog+2: // noah's, later
			if erased || !e.content || e.subject != noah || e.others[0] != stranger {
				t.Errorf("later, of another: %+v", e)
			}
		case i == 3*backlog || i%3 == 0: // mia's, from before
			if !erased || e.content || e.session || e.subject != ([16]byte{}) || len(e.others) != 1 || e.others[0] != noah {
				t.Errorf("offset %d: %+v", e.offset, e)
			}
		case i%3 == 1: // noah's, which name her
			if !erased || e.content || e.subject != noah || len(e.others) != 0 || !e.session {
				t.Errorf("offset %d: %+v", e.offset, e)
			}
		default:
			if erased || !e.content || e.subject != noah || len(e.others) != 1 {
				t.Errorf("offset %d: %+v", e.offset, e)
			}
		}
	}
	r.check(partition)
}
