package verify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/verify"
)

// A signed record that was captured and is produced again is noted, with the place where it stood first. Records that differ are not, however alike they are.
func TestReplayedSystemRecord(t *testing.T) {
	const log = "audit.system/0"
	r := newRig(t, "--set", "exporter.heartbeat_every=1s")
	ctx := t.Context()
	size := func() uint64 {
		t.Helper()
		return r.verify(t, verify.Options{Log: log}).Logs[0].Size
	}
	testkit.Eventually(t, time.Minute, func() bool { return size() > 3 }, "some heartbeats are sealed")
	if report := r.verify(t, verify.Options{}); !report.OK || len(report.Logs[1].Notes) > 0 {
		t.Fatalf("before anything was replayed: %+v", report)
	}

	captured, found, err := r.systems.Kafka.RecordAt(ctx, "audit.system", 0, 1)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	copies := []kafkaio.Message{{Value: captured.Value, Headers: captured.Headers}, {Key: []byte("k"), Value: captured.Value, Headers: captured.Headers}}
	if err := r.systems.Kafka.ProduceTo(ctx, "audit.system", 0, copies); err != nil {
		t.Fatal(err)
	}
	var report verify.Report
	testkit.Eventually(t, time.Minute, func() bool {
		report = r.verify(t, verify.Options{Log: log})
		return len(report.Logs[0].Notes) > 0
	}, "a note")
	after := report.Logs[0].Size
	testkit.Eventually(t, time.Minute, func() bool { return size() > after+1 }, "more heartbeats behind them")
	report = r.verify(t, verify.Options{Log: log})
	notes := report.Logs[0].Notes
	if !report.OK || report.Logs[0].FirstBad != nil || len(notes) != len(copies) {
		t.Fatalf("the log is good, with %d notes: %+v", len(copies), report)
	}
	for i, n := range notes {
		if n.Seq != notes[0].Seq+uint64(i) || n.Seq <= 3 || !strings.HasPrefix(n.Text, "the signed record of seq 2 again") {
			t.Errorf("note %+v", n)
		}
	}
	if out := r.up.Good(t, "", "verify", "--log", log); !strings.Contains(out, fmt.Sprintf("note at seq %d: the signed record of seq 2 again", notes[0].Seq)) {
		t.Errorf("verify prints %s", out)
	}
	if out := r.up.Good(t, "", "verify", "--json"); !strings.Contains(out, `"notes":[{"seq":`) || !strings.HasPrefix(out, `{"ok":true`) {
		t.Errorf("verify --json prints %s", out)
	}
}
