package verify_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/up/uptest"
	"github.com/agentaudit/agentaudit/internal/verify"
)

const theLog = "agent.events/0"

// rig is a deployment whose tables can be broken and mended.
type rig struct {
	up      *uptest.Up
	systems *process.Systems
	entries uint64 // of theLog
}

// newRig is newRigOf with a few hundred events.
func newRig(t *testing.T, args ...string) *rig {
	t.Helper()
	return newRigOf(t, []int{300}, args...)
}

// newRigOf runs `up`, lets it seal events into one log, some at a time, with a checkpoint after each, and keeps a copy of the table.
func newRigOf(t *testing.T, events []int, args ...string) *rig {
	t.Helper()
	u := uptest.Start(t, "", append([]string{"--partitions", "1", "--set", "exporter.heartbeat_every=1h", "--set", "exporter.recheck_every=720h", "--quiet"}, args...)...)
	emit := func(from, to int) {
		t.Helper()
		var lines strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&lines, `{"schema":"agentaudit.event/v1","event_id":"01920000-0000-7000-8000-%012d","time":"2026-11-20T21:14:05Z","type":"tool.call","action":"search",`+
				`"outcome":"success","tenant":"acme","user_id":"u%d","usage":{"input_tokens":%d},"content":{"input":"text %d"}}`+"\n", i, i%7, i, i)
		}
		u.Good(t, lines.String(), "emit")
	}

	cfg, err := config.Load(config.Sources{File: filepath.Join(u.Dir, process.ConfigFile)})
	if err != nil {
		t.Fatal(err)
	}
	systems, err := process.Open(t.Context(), cfg, kafkaio.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := systems.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{up: u, systems: systems, entries: 1}
	for _, n := range events {
		emit(int(r.entries)-1, int(r.entries)-1+n)
		r.entries += uint64(n)
		testkit.Eventually(t, time.Minute, func() bool {
			checkpoint, _, err := systems.Vault.Checkpoint(t.Context(), theLog)
			return err == nil && checkpoint.Size == r.entries
		}, "the log has a checkpoint of all entries")
	}
	r.exec(t, "CREATE TABLE audit.kept AS audit.events")
	r.exec(t, "INSERT INTO audit.kept SELECT * FROM audit.events")
	return r
}

// exec runs a statement as somebody who owns the database.
func (r *rig) exec(t *testing.T, sql string) {
	t.Helper()
	e := r.up.Endpoints(t)
	request, err := http.NewRequest(http.MethodPost, e.ClickHouse+"/?mutations_sync=1&insert_deduplicate=0", strings.NewReader(sql))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(e.ClickHouseUser, e.ClickHousePassword)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %s", sql, response.Status, err, answer)
	}
}

func (r *rig) mend(t *testing.T) {
	t.Helper()
	r.exec(t, "TRUNCATE TABLE audit.events")
	r.exec(t, "INSERT INTO audit.events SELECT * FROM audit.kept")
}

// verify checks with the deployment's own key, unless o has others.
func (r *rig) verify(t *testing.T, o verify.Options) verify.Report {
	t.Helper()
	if o.Keys == nil {
		o.Keys = r.known(t)
	}
	report, err := verify.Run(t.Context(), verify.Deps{Store: r.systems.Store, Vault: r.systems.Vault}, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// known is the deployment's own key.
func (r *rig) known(t *testing.T) note.Verifiers {
	t.Helper()
	known, err := logkeys.Verifiers(r.up.Endpoints(t).VerifierKeys)
	if err != nil {
		t.Fatal(err)
	}
	return known
}

func newKey(t *testing.T, name string) (note.Signer, note.Verifier) {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, mustVerifier(t, public)
}

func mustVerifier(t *testing.T, vkey string) note.Verifier {
	t.Helper()
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return verifier
}
