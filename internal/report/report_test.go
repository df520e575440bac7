package report

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestPrint(t *testing.T) {
	good := Log{Log: "agent.events/0", Size: 3, Root: "aa", Head: "bb", Notes: []Note{{2, "again"}}, NotesLeftOut: 5}
	bad := Log{Log: "audit.system/0", Size: 1, Root: "cc", Head: "dd", FirstBad: &Bad{1, "prev does not match"}}
	f := func(logs []Log, ok bool, text, json string) {
		t.Helper()
		r := Of(logs)
		if r.OK != ok {
			t.Errorf("ok is %v", r.OK)
		}
		var got strings.Builder
		if err := r.WriteText(&got, "good (as far as was looked)"); err != nil || got.String() != text {
			t.Errorf("%v, got\n%swant\n%s", err, got.String(), text)
		}
		got.Reset()
		if err := r.WriteJSON(&got); err != nil || got.String() != json {
			t.Errorf("%v, got\n%swant\n%s", err, got.String(), json)
		}
		// Wherever writing fails, that is not hidden.
		for n := range strings.Count(text, "\n") {
			if err := r.WriteText(&full{lines: n}, ""); !errors.Is(err, io.ErrShortWrite) {
				t.Errorf("disk full behind %d lines: %v", n, err)
			}
		}
	}
	f([]Log{good}, true,
		"agent.events/0                      3 entries  good\n    note at seq 2: again\n    and 5 more notes\n3 entries in 1 log: good (as far as was looked)\n",
		`{"ok":true,"entries":3,"logs":[{"log":"agent.events/0","size":3,"root":"aa","head":"bb","first_bad":null,"notes":[{"seq":2,"text":"again"}],"notes_left_out":5}]}`+"\n")
	f([]Log{bad, good}, false,
		"audit.system/0                      1 entries  BAD at seq 1: prev does not match\n"+
			"agent.events/0                      3 entries  good\n    note at seq 2: again\n    and 5 more notes\n4 entries in 2 logs: BAD: see above\n",
		`{"ok":false,"entries":4,"logs":[{"log":"audit.system/0","size":1,"root":"cc","head":"dd","first_bad":{"seq":1,"reason":"prev does not match"}},`+
			`{"log":"agent.events/0","size":3,"root":"aa","head":"bb","first_bad":null,"notes":[{"seq":2,"text":"again"}],"notes_left_out":5}]}`+"\n")
}

// full takes so many lines and no more.
type full struct{ lines int }

// Write implements io.Writer.
func (f *full) Write(line []byte) (int, error) {
	if f.lines--; f.lines < 0 {
		return 0, io.ErrShortWrite
	}
	return len(line), nil
}
