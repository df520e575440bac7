package exporter

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/broker/brokertest"
	"github.com/agentaudit/agentaudit/internal/ingest"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	sealing "github.com/agentaudit/agentaudit/internal/ledger"
	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// vaultFile is a vault that can be put back: a file of SQLite, and the keyring that opens it.
type vaultFile struct {
	rig  *rig
	path string
	keys *vault.Keyring
}

func (r *rig) useVaultFile() *vaultFile {
	r.t.Helper()
	dir := r.t.TempDir()
	keys, err := vault.CreateKeyring(r.t.Context(), vault.KeyConfig{Source: "file:" + filepath.Join(dir, "keyring")})
	if err != nil {
		r.t.Fatal(err)
	}
	f := &vaultFile{rig: r, path: filepath.Join(dir, "vault.db"), keys: keys}
	f.open()
	return f
}

func (f *vaultFile) open() {
	f.rig.t.Helper()
	v, err := vault.Open(f.rig.t.Context(), vault.Config{Driver: vault.DriverSQLite, DSN: f.path, Deployment: "test"}, f.keys)
	if err != nil {
		f.rig.t.Fatal(err)
	}
	f.rig.vault = v
	f.rig.t.Cleanup(func() { _ = v.Close() })
}

// backup returns a copy of the closed vault, and opens it again.
func (f *vaultFile) backup() []byte {
	f.rig.t.Helper()
	_ = f.rig.vault.Close()
	copied, err := os.ReadFile(f.path)
	if err != nil {
		f.rig.t.Fatal(err)
	}
	f.open()
	return copied
}

// restore puts a copy in the vault's place; nil: an empty vault.
func (f *vaultFile) restore(copied []byte) {
	f.rig.t.Helper()
	_ = f.rig.vault.Close()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(f.path + suffix) // not all of them are there
	}
	if copied != nil {
		if err := os.WriteFile(f.path, copied, 0o600); err != nil {
			f.rig.t.Fatal(err)
		}
	}
	f.open()
}

// lockRig has two logs that were covered and published at 101 and 21 entries, when the older copy of the vault was made, and at 151 and 21 when the newer one was.
func newLockRig(t *testing.T) (r *rig, file *vaultFile, l, still *testLog, older, newer []byte) {
	t.Helper()
	r = newRig(t)
	r.useKafka(testkit.EmbeddedKafka(t).Address)
	file = r.useVaultFile()
	l, still = r.newLog("agent.events/0", 100), r.newLog("agent.events/1", 20)
	p := r.start()
	r.awaitPublished(l)
	r.awaitPublished(still)
	p.stop()
	older = file.backup()
	p = r.start()
	l.add(50)
	r.awaitPublished(l)
	p.stop()
	newer = file.backup()
	return r, file, l, still, older, newer
}

// awaitPublished waits until the checkpoint of the whole log is in the vault and on the topic.
func (r *rig) awaitPublished(l *testLog) {
	r.t.Helper()
	r.awaitCheckpoint(l)
	testkit.Eventually(r.t, soon, func() bool { return r.publishedSize(l.head.Log) == l.head.Size }, "the checkpoint is published")
}

// publishedSize is what the last checkpoint of a log on the topic says.
func (r *rig) publishedSize(log string) (size uint64) {
	r.t.Helper()
	for _, signed := range r.topic() {
		if point, _, err := chain.OpenCheckpoint(signed, r.known()); err == nil && point.Log == log {
			size = point.Size
		}
	}
	return size
}

// The vault is put back to an older copy, while ClickHouse has all entries.
func TestRestoredVaultIsNotSignedOnTopOf(t *testing.T) {
	r, file, l, still, older, newer := newLockRig(t)
	file.restore(older)
	l.add(10)
	p := r.start()
	r.awaitAlarm(p, l.head.Log, 101, "its checkpoint has 101 entries, and one of 151 was published")
	if size := r.checkpointSize(l.head.Log); size != 101 {
		t.Errorf("signed on top of the restored checkpoint: %d entries", size)
	}
	p.stop()

	// What was published stays on the topic for the next process to see, and it comes to the same result.
	records := len(r.topic())
	p = r.start()
	r.awaitAlarm(p, l.head.Log, 101, "one of 151 was published")
	testkit.Eventually(t, soon, func() bool {
		for _, signed := range r.topic()[records:] {
			if point, err := chain.ReadCheckpoint(signed); err == nil && point.Log == l.head.Log {
				return point.Size == 151
			}
		}
		return false
	}, "the forgotten checkpoint is published again")
	p.stop()

	// The newer copy is the way out.
	file.restore(newer)
	p = r.start()
	r.awaitPublished(l)
	still.add(5)
	r.awaitPublished(still)
	if alarms := p.alarms.list(); len(alarms) > 0 {
		t.Errorf("alarms %+v", alarms)
	}
}

// An empty vault has forgotten all logs, also one that ClickHouse does not have any more.
func TestNewVaultBesidePublishedCheckpoints(t *testing.T) {
	r, file, l, still, _, _ := newLockRig(t)
	file.restore(nil)
	r.exec("ALTER TABLE {events} DELETE WHERE log = '" + still.head.Log + "' SETTINGS mutations_sync = 2")
	p := r.start()
	testkit.Eventually(t, soon, func() bool { return len(p.alarms.list()) == 2 }, "two alarms")
	for _, a := range p.alarms.list() {
		if !strings.Contains(a.Reason, "its checkpoint has 0 entries, and one of ") {
			t.Errorf("alarm %+v", a)
		}
	}
	if size := r.checkpointSize(l.head.Log); size != 0 {
		t.Errorf("signed: %d entries", size)
	}
}

// Without a newer copy, the log is reopened: it ends, and its successor is vouched for.
func TestReopenAfterARestoredVault(t *testing.T) {
	r, file, l, _, older, _ := newLockRig(t)
	broker := r.kafka
	if err := broker.EnsureTopics(t.Context(), []kafkaio.TopicSpec{{Name: "agent.events", Partitions: 2}}); err != nil {
		t.Fatal(err)
	}
	file.restore(older)
	p := r.start()
	r.awaitAlarm(p, l.head.Log, 101, "one of 151 was published")
	l.writer.Close()
	next, err := ingest.Reopen(t.Context(), ingest.ReopenDeps{Kafka: broker, Store: r.store, Vault: r.vault}, sealing.DefaultConfig(),
		ingest.Reopening{Log: l.head.Log, Reason: "the vault was restored", From: 0})
	if err != nil {
		t.Fatal(err)
	}
	// The predecessor is what ClickHouse has, which is what was published and more.
	if next.Log != "agent.events/0.1" || next.PredecessorSize != 152 {
		t.Errorf("successor %+v", next)
	}
	successor := r.newSuccessor(next.Log, &chain.Predecessor{Log: next.Predecessor, Size: next.PredecessorSize, Head: next.PredecessorHead}, 30)
	r.awaitPublished(successor)
	p.stop()
	p = r.start() // the old log stays where it is, the new one goes on
	successor.add(10)
	r.awaitPublished(successor)
	r.awaitAlarm(p, l.head.Log, 101, "one of 151 was published")
}

// produce puts a record on the topic of checkpoints.
func (r *rig) produce(log string, value []byte) {
	r.t.Helper()
	if err := r.kafka.Produce(r.t.Context(), r.cfg.CheckpointTopic, []kafkaio.Message{{Key: []byte(log), Value: value}}); err != nil {
		r.t.Fatal(err)
	}
}

// signed makes a checkpoint that nobody has checked.
func (r *rig) signed(keys *logkeys.Folder, deployment, log string, size uint64) []byte {
	r.t.Helper()
	point := chain.Checkpoint{Deployment: deployment, Log: log, Size: size, Root: chain.Hash{byte(size)}}
	signed, err := point.Sign(keys.Signers()...)
	if err != nil {
		r.t.Fatal(err)
	}
	return signed
}

// What somebody else has written to the topic says nothing.
func TestForeignRecordsOnTheTopic(t *testing.T) {
	r, _, l, _, _, _ := newLockRig(t)
	folder := func(deployment string) *logkeys.Folder {
		dir := filepath.Join(t.TempDir(), "keys")
		if _, err := logkeys.Create(dir, deployment); err != nil {
			t.Fatal(err)
		}
		keys, err := logkeys.Load(dir, deployment)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	ours, err := r.loadKeys()
	if err != nil {
		t.Fatal(err)
	}
	log := l.head.Log
	truncated := r.signed(ours, "test", log, 1000)
	for _, value := range [][]byte{
		r.signed(folder("test"), "test", log, 1000),  // an unknown key of our name
		r.signed(folder("other"), "other", log, 900), // another deployment
		truncated[:len(truncated)-20],
		[]byte("not a checkpoint"),
		{},
		nil,
	} {
		r.produce(log, value)
	}
	l.add(10)
	p := r.start()
	r.awaitPublished(l)
	if foreign := p.metric(t, "agentaudit_exporter_foreign_checkpoints_total", ""); foreign != 6 {
		t.Errorf("%v foreign records", foreign)
	}
	if alarms := p.alarms.list(); len(alarms) > 0 {
		t.Errorf("alarms %+v", alarms)
	}
}

// A checkpoint with our signature counts, whatever it says of a log, and also when its key has been retired since.
func TestPublishedForks(t *testing.T) {
	f := func(name string, size, seq uint64, reason string) {
		t.Run(name, func(t *testing.T) {
			r, _, l, still, _, _ := newLockRig(t)
			keys, err := r.loadKeys()
			if err != nil {
				t.Fatal(err)
			}
			r.produce(l.head.Log, r.signed(keys, "test", l.head.Log, size))
			r.newKey()
			if err := logkeys.Retire(r.keys, "test", keys.Keys()[0].ID); err != nil {
				t.Fatal(err)
			}
			l.add(10)
			still.add(10)
			p := r.start()
			r.awaitAlarm(p, l.head.Log, seq, reason)
			r.awaitPublished(still)
			if got := r.checkpointSize(l.head.Log); got != 151 {
				t.Errorf("the checkpoint has %d entries", got)
			}
		})
	}
	f("same size, other root", 151, 151, "two checkpoints of 151 entries")
	f("larger", 160, 151, "its checkpoint has 151 entries, and one of 160 was published")
}

// While Kafka is away nothing is signed; once it is back everything is.
func TestSigningWaitsForKafka(t *testing.T) {
	r := newRig(t)
	broker := testkit.EmbeddedKafka(t)
	r.useKafka(broker.Address)
	l := r.newLog("agent.events/0", 20)
	proxy := testkit.NewProxy(t, broker.Address)
	proxy.Refuse()
	r.kafka = dialedKafka(t, broker, proxy)
	p := r.start()
	testkit.Eventually(t, soon, func() bool { return p.metric(t, "agentaudit_exporter_lock_waiting", "") == 1 }, "the exporter waits")
	testkit.Eventually(t, soon, func() bool { return p.metric(t, "agentaudit_seal_age_seconds", l.head.Log) > 1 }, "the log is known, and not covered")
	if size := r.checkpointSize(l.head.Log); size != 0 {
		t.Errorf("signed: %d entries", size)
	}
	proxy.Heal()
	r.awaitPublished(l)
	if waiting := p.metric(t, "agentaudit_exporter_lock_waiting", ""); waiting != 0 {
		t.Errorf("still waiting: %v", waiting)
	}
}

// dialedKafka is a client all of whose connections go through a proxy.
func dialedKafka(t *testing.T, broker *brokertest.Proc, proxy *testkit.Proxy) *kafkaio.Client {
	t.Helper()
	cfg := kafkaio.DefaultConfig()
	cfg.Brokers = []string{broker.Address}
	client, err := kafkaio.New(cfg, kafkaio.Deps{Dial: proxy.Dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// An exporter that starts while another one moves checkpoints reads of checkpoints that are younger than the vault's state before: no alarm.
func TestLockBesideAnotherExporter(t *testing.T) {
	r := newRig(t)
	r.useKafka(testkit.EmbeddedKafka(t).Address)
	r.cfg.PollEvery = 10 * time.Millisecond
	l := r.newLog("agent.events/0", 20)
	one := r.start()
	r.awaitPublished(l)
	ctx, cancel := context.WithCancel(context.Background())
	written := make(chan struct{})
	go func() { // ends with ctx
		defer close(written)
		for ctx.Err() == nil {
			l.add(3)
		}
	}()
	all := []*process{one}
	for i := range 5 {
		r.author = newAuthor(t, "other-"+string(rune('a'+i)))
		p := r.start()
		testkit.Eventually(t, soon, p.lock.isReady, "what was published is read")
		all = append(all, p)
	}
	cancel()
	<-written
	r.awaitPublished(l)
	noAlarm(t, l, all...)
}
