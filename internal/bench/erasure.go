package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

const (
	// fewEvents are those of a person who has done little.
	fewEvents = 1000
	// erasedDirectly is how many people of each size the vault erases, and erasedByRequest how many the exporter.
	erasedDirectly, erasedByRequest = 3, 2
)

// measureErasure erases people who have done little and people who have done much: first by the vault's transaction alone, then by requests that the exporter
// carries out, with receipts.
func measureErasure(ctx context.Context, bin string, much uint64, t *table) (err error) {
	dir, err := os.MkdirTemp("", "agentaudit-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fmt.Fprintf(os.Stderr, "erasures of %d and %d events: preparing …\n", fewEvents, much)
	f, err := newFolder(ctx, bin, filepath.Join(dir, "data"))
	if err != nil {
		return err
	}
	for _, start := range []func(context.Context) (*running, error){f.startBroker, f.startEngine} {
		part, err := start(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, part.stop()) }()
	}
	systems, err := process.Open(ctx, f.cfg, kafkaio.Deps{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, systems.Close()) }()
	e := erasures{folder: f, systems: systems, table: t}
	before := speed()
	few, err := e.people(ctx, "few", fewEvents)
	if err != nil {
		return err
	}
	many, err := e.people(ctx, "many", much)
	if err != nil {
		return err
	}
	t.add(fmt.Sprintf("erasures of %d and %d events", fewEvents, much), "", "embedded engine, vault in SQLite; load "+load())
	if err := e.directly(ctx, few[:erasedDirectly], many[:erasedDirectly]); err != nil {
		return err
	}
	for _, name := range []string{"ingest", "exporter"} {
		part, err := f.startProcess(ctx, name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, part.stop()) }()
	}
	if err := e.byRequest(ctx, few[erasedDirectly:], many[erasedDirectly:]); err != nil {
		return err
	}
	t.add("", "", speedNote(before, speed()))
	return nil
}

type erasures struct {
	folder  *folder
	systems *process.Systems
	table   *table
	seq     uint64
}

// someone is a person with so many events.
type someone struct {
	who    vault.Identity
	id     gdpr.SubjectID
	events uint64
}

// people creates people and their events. Those have no links and no hashes, and nobody vouches for them: what counts is that they are in the table.
func (e *erasures) people(ctx context.Context, name string, events uint64) ([]someone, error) {
	list := make([]someone, erasedDirectly+erasedByRequest)
	for i := range list {
		p := someone{who: vault.Identity{Tenant: "acme", User: fmt.Sprintf("%s-%d", name, i)}, events: events}
		subjects, err := e.systems.Vault.Subjects(ctx, []vault.Identity{p.who})
		if err != nil {
			return nil, err
		}
		p.id = subjects[0].ID
		list[i] = p
		sql := fmt.Sprintf("INSERT INTO %s.events (log, seq, epoch, kind, sealed_at, content, content_key, subject, event_id, time, tenant, type, action) "+
			"SELECT 'bench.erasure/0', number + %d, 202611, 'event', now64(6), randomFixedString(16), [toUUID('%s')], toUUID('%s'), generateUUIDv4(), now64(6), 'acme', 'tool.call', 'call' FROM numbers(%d)",
			e.folder.cfg.ClickHouse.Database, e.seq, subjects[0].Keys.ID, p.id, events)
		if err := e.exec(ctx, sql); err != nil {
			return nil, err
		}
		e.seq += events
	}
	return list, nil
}

func (e *erasures) exec(ctx context.Context, sql string) error {
	c := e.folder.cfg.ClickHouse
	password, err := os.ReadFile(string(c.PasswordFile))
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Addresses[0]+"/", strings.NewReader(sql))
	if err != nil {
		return err
	}
	request.Header.Set("X-ClickHouse-User", c.User)
	request.Header.Set("X-ClickHouse-Key", strings.TrimSpace(string(password)))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("ClickHouse answers %s: %s", response.Status, answer)
	}
	return err
}

// directly measures the vault's transaction, in turns.
func (e *erasures) directly(ctx context.Context, few, many []someone) error {
	var tookFew, tookMany []float64
	for i := range few {
		for _, one := range []struct {
			person someone
			took   *[]float64
		}{{few[i], &tookFew}, {many[i], &tookMany}} {
			now := time.Now()
			_, found, err := e.systems.Vault.Erase(ctx, vault.Erasure{
				Request: [16]byte(one.person.id), Subject: one.person.id, At: now, Suppression: vault.Suppression{Until: now, Expires: now.Add(time.Hour)},
			})
			if err != nil || !found {
				return fmt.Errorf("erase %s: found %v, %w", one.person.who.User, found, err)
			}
			*one.took = append(*one.took, time.Since(now).Seconds())
		}
	}
	for _, one := range []struct {
		events uint64
		took   []float64
	}{{few[0].events, tookFew}, {many[0].events, tookMany}} {
		e.table.add(fmt.Sprintf("  the vault's transaction, %d events", one.events), fmt.Sprintf("%.1f ms", 1000*median(one.took)), fmt.Sprintf("median of %d; at most %.1f ms", len(one.took), 1000*maxOf(one.took)))
	}
	e.table.add("  much beside little", fmt.Sprintf("%.2f times", median(tookMany)/median(tookFew)), "medians; at most 1.5 is wanted")
	return nil
}

func maxOf(figures []float64) (most float64) {
	for _, f := range figures {
		most = max(most, f)
	}
	return most
}

// byRequest measures from the request to the receipt.
func (e *erasures) byRequest(ctx context.Context, few, many []someone) error {
	for i := range few {
		for _, person := range []someone{few[i], many[i]} {
			began := time.Now()
			request, _, err := privacy.Submit(ctx, e.systems.Vault, privacy.Submission{Kind: gdpr.RequestErasure, Who: person.who, VerifiedBy: "bench"})
			if err != nil {
				return err
			}
			for !request.State.Ended() {
				time.Sleep(20 * time.Millisecond)
				if request, _, err = e.systems.Vault.Request(ctx, request.ID); err != nil {
					return err
				}
			}
			took := time.Since(began)
			var receipt gdpr.Receipt
			if err := json.Unmarshal([]byte(request.Result), &receipt); err != nil {
				return fmt.Errorf("%s, %s: %w", request.State, request.Reason, err)
			}
			counted := "not counted yet"
			if receipt.EventsUnreadable != nil {
				counted = fmt.Sprintf("%d counted", *receipt.EventsUnreadable)
			}
			if i > 0 { // the first of each waits for what has just been started
				e.table.add(fmt.Sprintf("  a receipt, %d events", person.events), fmt.Sprintf("%.1f s", took.Seconds()), counted+"; 1 s of it is the wait for caches")
			}
		}
	}
	return nil
}
