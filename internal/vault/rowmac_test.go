package vault

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Every column of every table is changed in turn: whatever decides something makes the row a forged one.
func TestEveryColumnThatDecidesHasAMAC(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		o := newOrdering(t, cfg)
		o.unlinked(cfg.Driver)
		o.wantForged()
		for _, table := range macTables() {
			columns, values := o.first(table.name)
			for i, column := range columns {
				if slices.Contains(uncovered[table.name], column) {
					continue
				}
				key := columns[0] // each table's first column tells its rows here
				where := values[0]
				o.attack(fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s = ?", table.name, column, key), other(values[i]), where)
				if i == 0 {
					where = other(values[0])
				}
				list, err := table.forged(t.Context(), o.Vault)
				if err != nil || len(list) != 1 || !errors.Is(list[0], ErrForged) || list[0].Table != table.name {
					t.Errorf("%s.%s changed: %v, %v", table.name, column, list, err)
				}
				o.attack(fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s = ?", table.name, column, key), values[i], where)
			}
			for _, column := range uncovered[table.name] {
				if !slices.Contains(columns, column) {
					t.Errorf("%s has no column %s", table.name, column)
				}
			}
		}
		o.wantForged()
	})
}

// MACs outlive the key-encryption keys: nothing is forged after a rotation, and what is forged stays so.
func TestMACsAfterRotation(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		o := newOrdering(t, cfg)
		for range 2 {
			if done, err := o.Rotate(t.Context(), time.Nanosecond); err != nil || len(done.Retired) != 1 {
				t.Fatalf("%+v, %v", done, err)
			}
		}
		o.wantForged()
		again := openVault(t, cfg, o.keys)
		if again.secrets != o.secrets {
			t.Error("the secrets changed")
		}
		if list, err := again.Forged(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("%v, %v", list, err)
		}
		o.attack(`UPDATE requests SET options = '{"recipient":"age1mine"}'`)
		if done, err := o.Rotate(t.Context(), time.Nanosecond); err != nil || len(done.Retired) != 1 {
			t.Errorf("a forged row keeps the keyring from being rotated: %+v, %v", done, err)
		}
		o.wantForged("requests")
	})
}

// A forged name cannot write lines of its own into our logs, nor fill them.
func TestForgedErrorSaysNothing(t *testing.T) {
	author := Author{Name: "x\nerror: " + strings.Repeat("é", 1000)}
	var text rowText
	author.describe(&text)
	message := (&ForgedError{Table: text.table, Row: text.row}).Error()
	if strings.ContainsAny(message, "\né") || len(message) > 600 {
		t.Errorf("%q", message)
	}
}

// No two different rows have the same text.
func TestRowTextIsUnambiguous(t *testing.T) {
	text := func(build func(t *rowText)) string {
		var r rowText
		r.beginNamed("t", "r")
		build(&r)
		return string(r.text)
	}
	seen := map[string]bool{}
	for _, one := range []string{
		text(func(t *rowText) { t.string("ab"); t.string("c") }), text(func(t *rowText) { t.string("a"); t.string("bc") }),
		text(func(t *rowText) { t.string("abc"); t.string("") }), text(func(t *rowText) { t.string(""); t.string("abc") }),
		text(func(t *rowText) { t.number(1); t.number(0) }), text(func(t *rowText) { t.number(0); t.number(1) }),
		text(func(t *rowText) { t.present(nil) }), text(func(t *rowText) { t.present([]byte{}) }),
	} {
		if seen[one] {
			t.Errorf("twice: %q", one)
		}
		seen[one] = true
	}
}

// The MAC of a row never changes, whatever else does: rows of older versions would be forged.
func TestRowMACGolden(t *testing.T) {
	v := &Vault{secrets: deploymentSecrets{rows: [32]byte(bytes.Repeat([]byte{7}, 32))}}
	for want, row := range map[string]authentic{
		"0183312c965829e2567ccd6ffd5607dd645ee5d908c5f4210047f72f609bb4da94": &Hold{ID: [16]byte{1}, Subject: gdpr.SubjectID{2}, Reason: "case 12", Author: "counsel", At: at},
		"017cf09aff182561986e1168746f36051778d4dcc455816bfb9ee6e5e7a237b1b6": &suppressionRow{lookup: LookupHash{1}, offsets: `{"events/0":5}`, forever: 1, Suppression: Suppression{Until: at, Expires: at.Add(time.Hour)}},
		"011edb221d988673276ef3e031522c07da7f72511882881c389964235df47d75e9": &Generation{
			Topic: "events", Partition: 3, Generation: 1, Log: "events/3.1", Predecessor: "events/3", PredecessorSize: 9, PredecessorHead: chain.Hash{5}, FirstOffset: 12, Reason: "r", At: at,
		},
		"014319b8dc6514f508693e2879ea2a149286206590d976a765f10a86dd5337cea6": &Breach{ID: [16]byte{1}, Reason: "r", Detected: at, Due: at, Opened: at, Scope: "{}", Entries: [][16]byte{{1}, {2}}, Opening: "[]", Notices: 1, Closed: at, Why: "w", Report: "{}"},
		"0104e44851910e8b91ae819231cd9b8686e4975e54d10876c529f87f021c2150c0": &breachNoticeRow{[16]byte{1}, 2, BreachNotice{gdpr.ToAuthority, "r", at}},
		"01fc3350060f6215437826713c33e499570f2189c675943ce7909e379bb70ac7b4": &stateRow{DetectorState{ID: []byte("k"), Subject: gdpr.SubjectID{2}, State: []byte("learned")}, 7},
		"018e4a8ad8f3d618357ba2c18fa80f1def236f977622ce0d50e6ad6e581ab54aea": &Notice{
			ID: [16]byte{1}, Kind: NoticeIncident, Part: 1, Revision: 2, Version: 3, Severity: 4, Status: "final", Summarised: true, Tenant: "acme", At: at, Changed: at, Body: "{}",
			Verdict: NoticeVerdict{"snoozed", "somebody", at, at},
		},
		"0133c4435f338f5407df746b570dc6344c740ed19a808e83f1deee8d152219fa45": &postRow{NoticePost{
			Notice: Notice{ID: [16]byte{1}}, Target: "slack:C1", Waiting: at, NotBefore: at, SentVersion: 1, SentRevision: 2, Channel: "C1", TS: "1.2", Posting: at,
			ToldVersion: 1, Told: "high", Telling: at,
		}, 2},
		"01ab021aebaa7d7652365835a1eaabcee656625ef975dc2f550680c80df80d7b4b": &snapshotRow{7, 3, `{"events/0":5}`},
	} {
		if got := fmt.Sprintf("%x", v.mac(row)); got != want {
			t.Errorf("%T: %s, want %s", row, got, want)
		}
	}
}

func BenchmarkRowMAC(b *testing.B) {
	v := &Vault{}
	hold := Hold{Reason: "case 12", Author: "counsel", At: at}
	mac := v.mac(&hold)
	b.ReportAllocs()
	for b.Loop() {
		if v.check(&hold, mac) != nil {
			b.Fatal("forged")
		}
	}
}
