package process

import (
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/alert"
	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// newVault makes an empty vault.
func newVault(t *testing.T) *vault.Vault {
	t.Helper()
	keys, err := vault.CreateKeyring(t.Context(), vault.KeyConfig{Source: "file:" + filepath.Join(t.TempDir(), "keyring")})
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), vault.Config{Driver: vault.DriverSQLite, DSN: filepath.Join(t.TempDir(), "vault.db"), Deployment: "test"}, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// known makes somebody known and returns the pseudonym.
func known(t *testing.T, v *vault.Vault, tenant, user string) uuid.UUID {
	t.Helper()
	cache, err := vault.NewCache(v, vault.CacheConfig{MaxSubjects: 1024})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- cache.Run(ctx) }() // ends with ctx
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	if err := cache.Resolve(t.Context(), []vault.Identity{{Tenant: tenant, User: user}}, cache.Late()); err != nil {
		t.Fatal(err)
	}
	subject, found, err := v.Find(t.Context(), vault.Identity{Tenant: tenant, User: user})
	if err != nil || !found {
		t.Fatal(found, err)
	}
	subject.Keys.Wipe()
	return uuid.UUID(subject.ID)
}

// TestNamesForSlack: with show_identities a message names the person, and that is noted before anybody sees it; who is restricted, erased or another tenant's
// stays unnamed.
func TestNamesForSlack(t *testing.T) {
	v := newVault(t)
	mia, ben := known(t, v, "acme", "mia"), known(t, v, "acme", "ben")
	deps := notifyDeps(Base{Log: slog.New(slog.DiscardHandler)}, &Systems{Vault: v}, nil)
	noted := func() int {
		t.Helper()
		list, err := v.ClaimUnsaid(t.Context(), 100, time.Now(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, said := range list {
			if strings.Contains(said.Record, `"audit.read"`) && strings.Contains(said.Record, `"by":"Slack"`) {
				n++
			}
			if strings.Contains(said.Record, `"mia"`) {
				t.Errorf("the log names the person: %s", said.Record)
			}
		}
		return n
	}
	f := func(tenant string, subject uuid.UUID, want string, notes int) {
		t.Helper()
		before := noted()
		name, err := deps.Reveal(t.Context(), tenant, subject)
		if err != nil || name != want || noted()-before != notes {
			t.Errorf("%q, %v, noted %d times; want %q, %d times", name, err, noted()-before, want, notes)
		}
	}
	f("acme", mia, "mia", 1)
	f("other", mia, "", 0)
	f("acme", uuid.New(), "", 0)
	if found, err := v.Restrict(t.Context(), gdpr.SubjectID(mia), [16]byte{1}, time.Now()); err != nil || !found {
		t.Fatal(found, err)
	}
	f("acme", mia, "", 0)
	if err := v.Destroy(t.Context(), gdpr.SubjectID(ben)); err != nil {
		t.Fatal(err)
	}
	f("acme", ben, "", 0)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if name, err := deps.Reveal(t.Context(), "acme", ben); err == nil || name != "" {
		t.Errorf("%q without a vault", name)
	}
}

// TestPressesBecomeOrders: what is pressed in Slack stands on the topic of system records as an order, signed.
func TestPressesBecomeOrders(t *testing.T) {
	addr := testkit.EmbeddedKafka(t).Address
	cfg := config.DefaultConfig()
	cfg.Ingest.Topics.System = testkit.Topic(t, addr, 1)
	kafkaConfig := kafkaio.DefaultConfig()
	kafkaConfig.Brokers = []string{addr}
	kafka, err := kafkaio.New(kafkaConfig, kafkaio.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	key := filepath.Join(t.TempDir(), "key")
	if err := author.CreateKey(key); err != nil {
		t.Fatal(err)
	}
	signer, err := author.Load("detector", key)
	if err != nil {
		t.Fatal(err)
	}
	v := newVault(t)
	if err := signer.Register(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	base := Base{Config: cfg, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: prometheus.NewRegistry()}
	deps := notifyDeps(base, &Systems{Vault: v, Kafka: kafka}, signer)
	at := time.Now().UTC().Truncate(time.Microsecond)
	ids := map[uuid.UUID]alert.Verb{}
	for _, verb := range []alert.Verb{alert.Acknowledge, alert.Snooze, alert.FalsePositive} {
		press := alert.Order{Incident: uuid.New(), Verb: verb, By: "slack-1", At: at}
		if verb == alert.Snooze {
			press.Until = at.Add(time.Hour)
		}
		if err := deps.Feedback(t.Context(), press); err != nil {
			t.Fatal(err)
		}
		ids[press.Incident] = verb
	}
	if err := deps.Feedback(t.Context(), alert.Order{Incident: uuid.New(), Verb: "shrug", At: at}); err == nil {
		t.Error("what is no verdict became an order")
	}
	registered, found, err := v.Author(t.Context(), "detector")
	if err != nil || !found {
		t.Fatal(found, err)
	}
	check := func(rec *kafkaio.Record) {
		var ev events.Event
		if err := events.NewParser().Parse(rec.Value, &ev); err != nil {
			t.Fatal(err)
		}
		order, err := alert.ParseOrder(&ev, at)
		if err != nil || order.Verb != ids[order.Incident] || order.By != "slack-1" || order.Kind != anomaly.EntityKind("") {
			t.Errorf("%+v, %v; want %s", order, err, ids[order.Incident])
		}
		if name, _ := rec.Header(gdpr.HeaderAuthor); string(name) != "detector" {
			t.Errorf("author %q", name)
		}
		text, _ := rec.Header(gdpr.HeaderSignature)
		if signature, err := base64.StdEncoding.DecodeString(string(text)); err != nil || !gdpr.VerifySystem(registered.Key, rec.Value, signature) {
			t.Error("the signature is not the author's", err)
		}
		delete(ids, order.Incident)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := kafka.Each(ctx, cfg.Ingest.Topics.System, 0, 0, func(b *kafkaio.Batch) error {
		for i := range b.Records {
			check(&b.Records[i])
		}
		if len(ids) == 0 {
			return kafkaio.ErrEnough
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(ids) != 0 {
		t.Errorf("not said: %v", ids)
	}
}
