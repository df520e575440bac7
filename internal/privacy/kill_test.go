package privacy

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/testkit/deployment"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// doomedEnv tells a process that runs this package's tests to carry out requests until a step, and to be killed there.
const doomedEnv = "AGENTAUDIT_TEST_DOOMED_WORKER"

type doomed struct {
	Step                          string
	URL, Database, User, Password string
	Broker, KeyFile, AuthorKey    string
	Vault                         vault.Config
	EventsTopic, SystemTopic      string
	ExportDir, KeyDir             string
}

// TestDoomedWorker is what such a process does.
func TestDoomedWorker(t *testing.T) {
	text := os.Getenv(doomedEnv)
	if text == "" {
		t.Skip("is run by TestKilledAtEachStep")
	}
	var d doomed
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(json.Unmarshal([]byte(text), &d))
	storeConfig := store.DefaultConfig()
	storeConfig.Addresses, storeConfig.Database, storeConfig.User, storeConfig.Password = []string{d.URL}, d.Database, d.User, d.Password
	s, err := store.Open(t.Context(), storeConfig)
	check(err)
	ring, err := vault.OpenKeyring(t.Context(), vault.KeyConfig{Source: "file:" + d.KeyFile})
	check(err)
	v, err := vault.Open(t.Context(), d.Vault, ring)
	check(err)
	kafkaConfig := kafkaio.DefaultConfig()
	kafkaConfig.Brokers = []string{d.Broker}
	k, err := kafkaio.New(kafkaConfig, kafkaio.Deps{})
	check(err)
	signer, err := author.Load(deployment.AuthorName, d.AuthorKey)
	check(err)
	cfg := DefaultConfig()
	cfg.EventsTopic, cfg.SystemTopic = d.EventsTopic, d.SystemTopic
	cfg.ExportDir = d.ExportDir
	keys := func() (*logkeys.Folder, error) { return logkeys.Load(d.KeyDir, deployment.Name) }
	w := New(cfg, Deps{Kafka: k, Store: s, Vault: v, Author: signer, Keys: keys, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	w.claimFor = time.Second
	w.passed = func(step string) {
		if step == d.Step {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until it has come
		}
	}
	check(w.Run(t.Context()))
}

// A process that carries out an erasure is killed behind each step; the next one goes on. There is one outcome, and the log says each step.
func TestKilledAtEachStep(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		for i, step := range []string{
			stepTaken, stepBegun, stepHeld, stepDestroyed, stepForgotten, stepSaid, stepReceipt, stepOthers, stepEndSaid, stepEnded,
		} {
			t.Run(strings.ReplaceAll(step, " ", "_"), func(t *testing.T) { r.in(t).killedAt(step, fmt.Sprintf("user-%d", i)) })
		}
		r.wantGood()
	})
}

func (r *rig) killedAt(step, user string) {
	t := r.t
	r.produce(user, "")
	r.awaitSealed()
	before, found := r.find(user)
	if !found {
		t.Fatal("the user is not there")
	}
	request := r.submit(erasureOf(user))
	r.runUntilKilled(step)
	stop := r.start()
	ended := r.awaitEnd(request)
	var receipt gdpr.Receipt
	if err := json.Unmarshal([]byte(ended.Result), &receipt); err != nil || ended.State != gdpr.StateCompleted || receipt.SubjectsDestroyed != 1 ||
		receipt.Subjects[0] != before.ID.String() || receipt.EventsUnreadable == nil || *receipt.EventsUnreadable != 1 {
		t.Errorf("%s, %s: %+v, %v", ended.State, ended.Reason, receipt, err)
	}
	testkit.Eventually(t, soon, func() bool {
		left, err := r.Vault.ClaimUnsaid(context.Background(), 10, time.Now(), time.Now())
		return err == nil && len(left) == 0
	}, "everything is said")
	stop()
	if _, found := r.find(user); found {
		t.Error("still there")
	}
	about := gdpr.SubjectID(request.ID).String()
	if steps, erasures := r.inLog(typeRequest, about), r.inLog(typeErasure, about); steps != 3 || erasures != 1 {
		t.Errorf("the log has %d steps of the request and %d erasures, want 3 and 1", steps, erasures)
	}
}

// inLog counts the records of a type in which a text stands. The same record is counted once: what is not seen in the log within half a claim, as claims are short here,
// is said again, under the same id.
func (r *rig) inLog(recordType, text string) int {
	r.t.Helper()
	list, err := r.Store.FindEvents(r.t.Context(), store.Filter{Type: recordType, Limit: 1000})
	if err != nil {
		r.t.Fatal(err)
	}
	ids := map[events.UUID]bool{}
	for _, f := range list {
		var entry chain.Entry
		if err := chain.ParseEntry(f.Entry, &entry); err != nil {
			r.t.Fatal(err)
		}
		if strings.Contains(string(f.Entry), text) {
			ids[events.UUID(entry.EventID)] = true
		}
	}
	return len(ids)
}

// runUntilKilled has another process carry out requests until it has passed a step, and is killed.
func (r *rig) runUntilKilled(step string) {
	t := r.t
	t.Helper()
	text, err := json.Marshal(doomed{
		step, r.Server.URL, r.Server.Database, r.Server.User, r.Server.Password, r.Broker, r.KeyFile, r.AuthorKey, r.VaultAt, r.Ingest.EventsTopic, r.Ingest.SystemTopic, r.exportDir, r.KeyDir,
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDoomedWorker$")
	cmd.Env = append(os.Environ(), doomedEnv+"="+string(text))
	process := testkit.Start(t, cmd)
	select {
	case <-process.Done():
	case <-time.After(soon):
		t.Fatal("the process was not killed")
	}
	if state := cmd.ProcessState.Sys().(syscall.WaitStatus); !state.Signaled() {
		t.Fatalf("it ended by itself: %s", process.Output())
	}
}

// A process that makes an archive is killed behind each step; the next one begins anew. There is one archive, and nothing else is left.
func TestKilledAtEachStepOfAnExport(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		for i, step := range []string{stepTaken, stepBegun, stepAttempt, stepPart, stepWritten, stepNamed, stepEnded} {
			t.Run(strings.ReplaceAll(step, " ", "_"), func(t *testing.T) {
				r := r.in(t)
				user := fmt.Sprintf("user-%d", i)
				r.produce(user, "")
				r.awaitSealed()
				request := r.submit(exportOf(user))
				r.runUntilKilled(step)
				w := r.newWorker()
				w.claimFor = 2 * time.Second // what it has claimed when it ends is waited for by the next
				defer r.Run(w.Run)()
				text, err := r.read(r.wantCompleted(request))
				if err != nil {
					t.Fatal(err)
				}
				if _, events := checkArchive(t, text); len(events) != 1 {
					t.Errorf("%d events", len(events))
				}
				testkit.Eventually(t, soon, func() bool { return len(r.filesIn()) == i+1 }, "one file for each export, and no others")
				testkit.Eventually(t, soon, func() bool { return r.inLog(typeRequest, "") == 3*(i+1) }, "the three steps of each request are in the log")
			})
		}
	})
}

// A process that is told to end at the very moment at which an export is completed may not learn of it, and must not take the archive away.
func TestStoppedAtTheEndOfAnExport(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		r.produce("mia", "")
		r.awaitSealed()
		for range 8 {
			request := r.submit(exportOf("mia"))
			ctx, stop := context.WithCancel(t.Context())
			w := r.newWorker()
			w.passed = func(step string) {
				if step != stepNamed {
					return
				}
				go func() { // ends when the request has ended
					defer stop()
					for {
						if now, _, err := r.Vault.Request(t.Context(), request.ID); err != nil || now.State.Ended() {
							return
						}
					}
				}()
			}
			if err := w.Run(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := r.read(r.wantCompleted(request)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
