package vault

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// What somebody inserts, changes or swaps who has no keyring is not acted on, and is reported.
func TestForgedRowsAreNotActedOn(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		o := newOrdering(t, cfg)
		restore := o.save()
		f := func(name, table string, attack []string, check func(ctx context.Context, o *ordering) error) {
			t.Helper()
			t.Run(name, func(t *testing.T) {
				o.t = t
				defer restore()
				for _, statement := range attack {
					o.attack(blobs(cfg.Driver, statement))
				}
				o.mu.Lock()
				clear(o.forged)
				o.mu.Unlock()
				if err := check(t.Context(), o); !errors.Is(err, ErrForged) {
					t.Errorf("%v, want %v", err, ErrForged)
				}
				if !o.forged[table] {
					t.Error("nobody was told")
				}
			})
		}
		// listed turns a row that is left out of a list into the error that is wanted, since the list has no error.
		listed := func(n, want int, err error) error {
			if err != nil || n != want {
				return fmt.Errorf("%d in the list, want %d: %w", n, want, err)
			}
			return ErrForged
		}
		id := func(n byte) [16]byte { return [16]byte{n} }
		const newRequest = `INSERT INTO requests (id, caller, kind, state, wrapped, identity, subject, options, verified_by, received_micros, due_micros, changed_micros, tenant, mac)
			SELECT X'%032x', 'mine', kind, 'verified', wrapped, identity, subject, '{"recipient":"age1mine"}', 'operator', received_micros, due_micros, changed_micros, tenant, %s FROM requests`
		insertion := []string{fmt.Sprintf(newRequest, 0xff, "mac")}
		inserted := [16]byte{15: 0xff}
		f("request inserted, claimed", "requests", insertion, func(ctx context.Context, o *ordering) error {
			_, err := o.ClaimRequest(ctx, inserted, time.Now(), time.Now().Add(time.Second))
			return err
		})
		f("request inserted, open", "requests", insertion, func(ctx context.Context, o *ordering) error {
			list, err := o.OpenRequests(ctx, time.Now().Add(maxClaim+time.Hour))
			return listed(len(list), 1, err) // ours
		})
		f("request inserted without a MAC, read", "requests", []string{fmt.Sprintf(newRequest, 0xff, "NULL")}, func(ctx context.Context, o *ordering) error {
			_, _, err := o.Request(ctx, inserted)
			return err
		})
		f("another recipient", "requests", []string{`UPDATE requests SET options = '{"recipient":"age1mine"}'`}, func(ctx context.Context, o *ordering) error {
			_, err := o.EndRequest(ctx, o.request.ID, Ending{State: gdpr.StateCompleted}, time.Now())
			return err
		})
		f("request put back", "requests", []string{`UPDATE requests SET state = 'received'`}, func(ctx context.Context, o *ordering) error {
			_, err := o.VerifyRequest(ctx, o.request.ID, "operator", time.Now())
			return err
		})
		f("request forged, cancelled", "requests", []string{`UPDATE requests SET state = 'received'`}, func(ctx context.Context, o *ordering) error {
			_, err := o.CancelRequest(ctx, o.request.ID, "r", time.Now())
			return err
		})
		f("another person's archive", "exports", []string{`UPDATE exports SET subject = X'000000000000000000000000000000ff'`}, func(ctx context.Context, o *ordering) error {
			_, _, err := o.Export(ctx, o.request.ID)
			return err
		})
		f("archive finished by hand", "exports", []string{`UPDATE exports SET ready = 1, expires_micros = 9000000000000000`}, func(ctx context.Context, o *ordering) error {
			list, err := o.Exports(ctx)
			return listed(len(list), 0, err)
		})
		f("API key of one's own", "api_keys", []string{`INSERT INTO api_keys (id, hash, role, tenant, name, added_micros, expires_micros, mac)
			SELECT X'000000000000000000000000000000ff', X'00000000000000000000000000000000000000000000000000000000000000ff', 'admin', '', name, 1, 0, mac FROM api_keys`},
			func(ctx context.Context, o *ordering) error {
				if _, err := o.APIKey(ctx, [32]byte{31: 0xff}, time.Now()); !errors.Is(err, ErrNotActive) {
					return err
				}
				if err := o.UseAPIKey(ctx, inserted, time.Now()); !errors.Is(err, ErrNotActive) {
					return err
				}
				list, err := o.APIKeys(ctx)
				return listed(len(list), 1, err)
			})
		f("API key with more rights", "api_keys", []string{`UPDATE api_keys SET role = 'admin', tenant = ''`}, func(ctx context.Context, o *ordering) error {
			if _, err := o.APIKey(ctx, [32]byte{4}, time.Now()); !errors.Is(err, ErrNotActive) {
				return err
			}
			_, err := o.RevokeAPIKey(ctx, id(4), time.Now())
			return err
		})
		f("author of one's own", "authors", []string{`INSERT INTO authors (name, public_key, mac) SELECT 'exporter-2', public_key, mac FROM authors`},
			func(ctx context.Context, o *ordering) error {
				if _, _, err := o.Author(ctx, "exporter-1"); err != nil {
					return err // ours is as good as before
				}
				if _, err := o.Authors(ctx); !errors.Is(err, ErrForged) {
					return err
				}
				_, _, err := o.Author(ctx, "exporter-2")
				return err
			})
		f("author's key replaced", "authors", []string{`UPDATE authors SET public_key = X'00000000000000000000000000000000000000000000000000000000000000ff'`},
			func(ctx context.Context, o *ordering) error {
				return o.AddAuthor(ctx, Author{"exporter-1", ed25519.PublicKey(bytes.Repeat([]byte{5}, 32))})
			})
		erase := func(ctx context.Context, o *ordering) error {
			_, _, err := o.Erase(ctx, Erasure{Request: id(20), Subject: o.people[1].ID, At: time.Now(), Suppression: Suppression{Until: at}})
			return err
		}
		f("hold lifted by hand", "holds", []string{`UPDATE holds SET lifted_micros = 1`}, erase)
		f("hold moved to another person", "holds", []string{`UPDATE holds SET subject = X'000000000000000000000000000000ff'`}, erase)
		f("hold of one's own", "holds", []string{`INSERT INTO holds (id, subject, reason, author, at_micros, expires_micros, mac)
			SELECT X'000000000000000000000000000000ff', subject, 'r', 'a', 1, 0, mac FROM holds`}, func(ctx context.Context, o *ordering) error {
			_, err := o.Holds(ctx)
			return err
		})
		f("hold forged, lifted", "holds", []string{`UPDATE holds SET expires_micros = 1`}, func(ctx context.Context, o *ordering) error {
			_, err := o.LiftHold(ctx, id(6), time.Now())
			return err
		})
		f("destruction that never was", "destroyed", []string{`INSERT INTO destroyed (request, subject, key_id, at_micros, exports, mac)
			SELECT X'01000000000000000000000000000000', s.id, s.key_id, 1, 0, d.mac FROM destroyed d, subjects s LIMIT 1`}, func(ctx context.Context, o *ordering) error {
			if _, _, err := o.Erase(ctx, Erasure{Request: id(1), Subject: o.people[0].ID, At: time.Now(), Suppression: Suppression{Until: at}}); !errors.Is(err, ErrForged) {
				return err
			}
			_, _, err := o.Destroyed(ctx, id(1))
			return err
		})
		f("remark of one's own", "outbox", []string{`INSERT INTO outbox (event_id, at_micros, record, mac) SELECT X'000000000000000000000000000000ff', 1, record, mac FROM outbox LIMIT 1`},
			func(ctx context.Context, o *ordering) error {
				for range 2 { // what is not ours is gone, and keeps nothing
					list, err := o.ClaimUnsaid(ctx, 10, time.Now(), time.Now())
					if err := listed(len(list), 2, err); !errors.Is(err, ErrForged) {
						return err
					}
				}
				o.wantForged()
				return ErrForged
			})
		f("restriction lifted by hand", "restrictions", []string{`UPDATE restrictions SET lifted_micros = 1`}, func(ctx context.Context, o *ordering) error {
			if marked, err := o.Restricted(ctx, []gdpr.SubjectID{o.people[1].ID}); err != nil || !marked[o.people[1].ID] {
				return fmt.Errorf("%v, %w", marked, err)
			}
			if _, err := o.Unrestrict(ctx, o.people[1].ID, time.Now()); !errors.Is(err, ErrForged) {
				return err
			}
			_, err := o.Restrict(ctx, o.people[1].ID, id(8), time.Now())
			return err
		})
		f("consent changed", "consents", []string{`UPDATE consents SET since_micros = 1`}, func(ctx context.Context, o *ordering) error {
			_, err := o.Consent(ctx, people(1, 1)[0], "marketing")
			return err
		})
		f("history of consents changed", "consent_changes", []string{`UPDATE consent_changes SET state = 'withdrawn'`}, func(ctx context.Context, o *ordering) error {
			_, err := o.Consents(ctx, o.people[1].ID)
			return err
		})
		forgedLater(f)
	})
}

// forgedLater has the tables that have MACs since version 15. Those of the detector are in detectorstate_test.go.
func forgedLater(f func(name, table string, attack []string, check func(ctx context.Context, o *ordering) error)) {
	// suppressed says whether somebody is, as ingest sees it.
	suppressed := func(ctx context.Context, o *ordering, n int, want bool) error {
		hash := newHasher(&o.secrets.lookup).identity(people(n, 1)[0])
		all, err := o.suppressed(ctx, o.db.read, nil)
		if err == nil && (all[hash] != nil) != want {
			err = fmt.Errorf("suppressed: %v, want %v", !want, want)
		}
		if err == nil {
			_, _, late, err2 := o.subjects(ctx, people(n, 1), nil)
			if err = err2; err == nil && (late[hash] != nil) != want {
				err = fmt.Errorf("left out: %v, want %v", !want, want)
			}
		}
		if err == nil {
			err = ErrForged
		}
		return err
	}
	f("suppression made up", "suppressions", []string{`INSERT INTO suppressions (lookup, until_micros, offsets, forever, expires_micros, mac)
		SELECT s.lookup, u.until_micros, u.offsets, 1, u.expires_micros, u.mac FROM subjects s, suppressions u`}, func(ctx context.Context, o *ordering) error {
		return suppressed(ctx, o, 1, false)
	})
	f("suppression moved to somebody else", "suppressions", []string{`UPDATE suppressions SET lookup = (SELECT lookup FROM subjects ORDER BY lookup LIMIT 1)`}, func(ctx context.Context, o *ordering) error {
		for n := range 3 {
			if err := suppressed(ctx, o, n, false); !errors.Is(err, ErrForged) {
				return err
			}
		}
		return ErrForged
	})
	f("suppression for ever", "suppressions", []string{`UPDATE suppressions SET forever = 1`}, func(ctx context.Context, o *ordering) error {
		return suppressed(ctx, o, 3, false)
	})
	f("suppression widened after it was forged", "suppressions", []string{`UPDATE suppressions SET forever = 1`}, func(ctx context.Context, o *ordering) error {
		back := subjectsOf(o.t, o.Vault, people(3, 1)...)[0]
		if _, gone, err := o.Erase(ctx, Erasure{Request: [16]byte{20}, Subject: back.ID, At: at, Weighed: [][16]byte{{6}}, Suppression: Suppression{Until: at}}); err != nil || !gone {
			return fmt.Errorf("%v, %w", gone, err)
		}
		o.wantForged() // the next erasure has made it good
		all, err := o.suppressed(ctx, o.db.read, nil)
		if err != nil || len(all) != 1 || all[newHasher(&o.secrets.lookup).identity(people(3, 1)[0])].Forever {
			return fmt.Errorf("%v, %w", all, err)
		}
		return ErrForged
	})
	current := func(ctx context.Context, o *ordering) error {
		if _, err := o.Generations(ctx); !errors.Is(err, ErrForged) {
			return err
		}
		if err := o.Reopen(ctx, 1, Generation{Topic: "events", Partition: 3, Generation: 2, Log: "events/3.2", Predecessor: "events/3.1"}); !errors.Is(err, ErrForged) {
			return err
		}
		_, err := o.CurrentLog(ctx, "events", 3)
		return err
	}
	f("log begins elsewhere", "log_generations", []string{`UPDATE log_generations SET first_offset = 1000000`}, current)
	f("generation made up", "log_generations", []string{`INSERT INTO log_generations (topic, partition, generation, log, predecessor, predecessor_size, predecessor_head, first_offset, reason, at_micros, mac)
		SELECT topic, partition, 2, 'events/3.2', 'events/3.1', 0, predecessor_head, 1000000, reason, at_micros, mac FROM log_generations`}, current)
	f("generation moved to another partition", "log_generations", []string{`UPDATE log_generations SET partition = 4`}, func(ctx context.Context, o *ordering) error {
		_, err := o.CurrentLog(ctx, "events", 4)
		return err
	})
	f("generation deleted before another", "log_generations", nil, func(ctx context.Context, o *ordering) error {
		if err := o.Reopen(ctx, 1, Generation{Topic: "events", Partition: 3, Generation: 2, Log: "events/3.2", Predecessor: "events/3.1", At: at}); err != nil {
			return err
		}
		if g, err := o.CurrentLog(ctx, "events", 3); err != nil || g.Generation != 2 {
			return fmt.Errorf("%+v, %w", g, err)
		}
		o.attack(`DELETE FROM log_generations WHERE generation = 1`)
		if _, err := o.Generations(ctx); !errors.Is(err, ErrForged) {
			return err
		}
		_, err := o.CurrentLog(ctx, "events", 3)
		return err
	})
	deadlines := func(ctx context.Context, o *ordering, want int) error {
		list, err := o.BreachDeadlines(ctx)
		if err != nil || len(list) != want {
			return fmt.Errorf("%+v, %w", list, err)
		}
		return ErrForged
	}
	f("breach closed by hand", "breaches", []string{`UPDATE breaches SET closed_micros = 1`}, func(ctx context.Context, o *ordering) error {
		if err := deadlines(ctx, o, 0); !errors.Is(err, ErrForged) {
			return err
		}
		if list, err := o.Breaches(ctx); err != nil || len(list) != 0 {
			return fmt.Errorf("%+v, %w", list, err)
		}
		_, _, err := o.Breach(ctx, [16]byte{12})
		return err
	})
	f("breach that affects nobody", "breaches", []string{`UPDATE breaches SET entries = NULL`}, func(ctx context.Context, o *ordering) error {
		if _, err := o.CloseBreach(ctx, Breach{ID: [16]byte{12}, Notices: 1, Closed: at}); !errors.Is(err, ErrForged) {
			return err
		}
		_, err := o.AddBreachNotice(ctx, [16]byte{12}, BreachNotice{gdpr.ToAuthority, "r", at})
		return err
	})
	f("breach of one's own", "breaches", []string{`INSERT INTO breaches (id, reason, detected_micros, due_micros, opened_micros, scope, opening, mac)
		SELECT X'000000000000000000000000000000ff', reason, 1, 1, 1, scope, opening, mac FROM breaches`}, func(ctx context.Context, o *ordering) error { return deadlines(ctx, o, 1) })
	const told = `INSERT INTO breach_notices (breach, number, addressee, reference, at_micros, mac) SELECT breach, 2, 'authority', reference, at_micros, mac FROM breach_notices`
	f("authority said to be told", "breach_notices", []string{told}, func(ctx context.Context, o *ordering) error {
		if err := deadlines(ctx, o, 1); !errors.Is(err, ErrForged) {
			return err
		}
		_, err := o.BreachNotices(ctx, [16]byte{12})
		return err
	})
	f("authority told instead of the people", "breach_notices", []string{`UPDATE breach_notices SET addressee = 'authority'`}, func(ctx context.Context, o *ordering) error {
		return deadlines(ctx, o, 1)
	})
	forgedNotices(f)
	f("notice of a breach deleted", "breach_notices", []string{`DELETE FROM breach_notices`}, func(ctx context.Context, o *ordering) error {
		_, err := o.BreachNotices(ctx, [16]byte{12})
		return err
	})
}

func forgedNotices(f func(name, table string, attack []string, check func(ctx context.Context, o *ordering) error)) {
	id, now := [16]byte{13}, at.Add(time.Hour)
	// next returns what the receiver is told, or fails if that is not the notice.
	next := func(ctx context.Context, o *ordering) (NoticePost, error) {
		p, ok, err := o.NextPost(ctx, "slack:C1", 1, now)
		if err == nil && (!ok || p.Notice.ID != id || p.Notice.Body != `{"a":1}`) {
			err = fmt.Errorf("told %v: %+v", ok, p)
		}
		return p, err
	}
	nothing := func(ctx context.Context, o *ordering) error {
		if p, ok, err := o.NextPost(ctx, "slack:C1", 1, now); err != nil || ok {
			return fmt.Errorf("told %v: %+v, %w", ok, p, err)
		}
		return nil
	}
	for _, set := range []string{`body = '{"subject":"somebody"}'`, `severity = 1`, `revision = 9`, `status = 'withdrawn'`, `verdict = 'false_positive', verdict_micros = 9000000000000000`} {
		f("notice with "+set, "notices", []string{`UPDATE notices SET ` + set}, func(ctx context.Context, o *ordering) error {
			if err := nothing(ctx, o); err != nil {
				return err
			}
			if _, found, err := o.Notice(ctx, id); err != nil || found {
				return fmt.Errorf("shown: %v, %w", found, err)
			}
			if _, err := o.SetVerdict(ctx, id, NoticeVerdict{Verdict: "acknowledged", At: now}); !errors.Is(err, ErrForged) {
				return err
			}
			if list, err := o.CountNotices(ctx, at, at.Add(time.Second)); err != nil || len(list) != 0 {
				return fmt.Errorf("counted: %v, %w", list, err)
			}
			o.wantForged("notices")
			// What Kafka says next takes its place, whatever it said, and is told.
			kept, err := o.KeepNotice(ctx, incidentNotice(13, 3, at), []string{"slack:C1"})
			if err != nil || !kept {
				return fmt.Errorf("%v, %w", kept, err)
			}
			if p, err := next(ctx, o); err != nil || p.Notice.Revision != 3 || !p.Notice.Verdict.At.IsZero() {
				return fmt.Errorf("%+v, %w", p, err)
			}
			o.wantForged()
			return ErrForged
		})
	}
	const made = `INSERT INTO notices (id, kind, part, revision, severity, status, summarised, tenant, at_micros, changed_micros, body, mac)
		SELECT X'000000000000000000000000000000ff', '%s', part, 1, severity, status, 0, tenant, at_micros + 1000, 1, body, mac FROM notices`
	f("notice made up", "notices", []string{
		fmt.Sprintf(made, NoticeIncident),
		`INSERT INTO notice_posts (notice, target, pending, waiting_micros, mac) SELECT X'000000000000000000000000000000ff', target, 3, 0, mac FROM notice_posts`,
	}, func(ctx context.Context, o *ordering) error {
		if _, err := next(ctx, o); err != nil { // it keeps nobody waiting
			return err
		}
		if list, err := o.Unsent(ctx, "slack:C1", 1, 10); err != nil || len(list) != 1 {
			return fmt.Errorf("%+v, %w", list, err)
		}
		if list, err := o.CountNotices(ctx, at, at.Add(time.Second)); err != nil || len(list) != 1 || list[0].Count != 1 {
			return fmt.Errorf("counted: %v, %w", list, err)
		}
		return ErrForged
	})
	f("summary of a day to come", "notices", []string{fmt.Sprintf(made, NoticeDigest)}, func(ctx context.Context, o *ordering) error {
		if n, found, err := o.LatestNotice(ctx, NoticeDigest); err != nil || found {
			return fmt.Errorf("%+v, %w", n, err)
		}
		return ErrForged
	})
	for _, set := range []string{`pending = 0`, `not_before_micros = 9000000000000000`, `sent_version = 9`, `channel = 'C2', ts = '1.2'`, `pending = 0, sent_version = 1, told_version = 1`, `mac = NULL`} {
		f("receiver with "+set, "notice_posts", []string{`UPDATE notice_posts SET ` + set}, func(ctx context.Context, o *ordering) error {
			if _, err := o.Posts(ctx, id); !errors.Is(err, ErrForged) {
				return err
			}
			if n, err := o.MendPosts(ctx, now); err != nil || n != 1 {
				return fmt.Errorf("%d mended, %w", n, err)
			}
			p, err := next(ctx, o)
			if err != nil || p.SentVersion != 0 || p.Channel != "" || p.TS != "" || !p.NotBefore.IsZero() {
				return fmt.Errorf("%+v, %w", p, err)
			}
			o.wantForged()
			return ErrForged
		})
	}
	f("message elsewhere", "notice_posts", []string{`UPDATE notice_posts SET channel = 'C2', ts = '1.2'`}, func(ctx context.Context, o *ordering) error {
		if p, err := next(ctx, o); err != nil || p.Channel != "" || p.TS != "" {
			return fmt.Errorf("%+v, %w", p, err)
		}
		return ErrForged
	})
	f("receiver said to be told, of a notice that changes", "notice_posts", []string{`UPDATE notice_posts SET pending = 0, sent_version = 9, told_version = 9`}, func(ctx context.Context, o *ordering) error {
		if changed, err := o.SetVerdict(ctx, id, NoticeVerdict{Verdict: "acknowledged", At: now}); err != nil || !changed {
			return fmt.Errorf("%v, %w", changed, err)
		}
		if p, err := next(ctx, o); err != nil || p.SentVersion != 0 {
			return fmt.Errorf("%+v, %w", p, err)
		}
		return ErrForged
	})
	f("receiver that is no more", "notice_posts", []string{`UPDATE notice_posts SET waiting_micros = 1`}, func(ctx context.Context, o *ordering) error {
		if err := o.MovePost(ctx, id, "slack:C1", "slack:C2"); err != nil {
			return err
		}
		if n, err := o.SettlePosts(ctx, "slack:C2", 1); err != nil || n != 1 {
			return fmt.Errorf("%d, %w", n, err)
		}
		o.wantForged()
		return ErrForged
	})
}

// blobs writes SQLite's literals of bytes as PostgreSQL knows them.
func blobs(driver, statement string) string {
	if driver != DriverPostgres {
		return statement
	}
	return strings.ReplaceAll(statement, "X'", `'\x`)
}

// A row, its MAC included, counts nowhere but in its own place.
func TestSwappedRowsAreForged(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		o := newOrdering(t, cfg)
		if err := o.AddHold(t.Context(), Hold{ID: [16]byte{60}, Subject: o.people[0].ID, Reason: "case 13", Author: "counsel", At: at}); err != nil {
			t.Fatal(err)
		}
		o.attack(`UPDATE holds SET id = ? WHERE id = ?`, bytes.Repeat([]byte{1}, 16), append([]byte{6}, make([]byte, 15)...))
		o.attack(`UPDATE holds SET id = ? WHERE id = ?`, append([]byte{6}, make([]byte, 15)...), append([]byte{60}, make([]byte, 15)...))
		o.attack(`UPDATE holds SET id = ? WHERE id = ?`, append([]byte{60}, make([]byte, 15)...), bytes.Repeat([]byte{1}, 16))
		if list, err := o.Forged(t.Context()); err != nil || len(list) != 2 {
			t.Errorf("%v, %v", list, err)
		}
	})
}

// What the threat model says cannot be found in the vault by itself: an earlier state of the same row, and a row that is gone.
func TestEarlierStateOfARowCounts(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		o := newOrdering(t, cfg)
		o.attack(`CREATE TABLE saved AS SELECT * FROM holds`)
		if lifted, err := o.LiftHold(t.Context(), [16]byte{6}, time.Now()); err != nil || !lifted {
			t.Fatal(lifted, err)
		}
		o.attack(`DELETE FROM holds`)
		o.wantForged()
		o.attack(`INSERT INTO holds SELECT * FROM saved`)
		o.wantForged()
		if list, err := o.Holds(t.Context()); err != nil || len(list) != 1 || !list[0].Active(time.Now()) {
			t.Errorf("%+v, %v", list, err)
		}
	})
}
