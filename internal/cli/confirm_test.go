package cli

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

// newTerminal returns both ends of a terminal: what a person types into, and what a program reads.
func newTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		testkit.Missing(t, "no terminals here: "+err.Error())
	}
	t.Cleanup(func() { _ = person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

// Whoever sits at a terminal is asked, by tenant and user, before anybody is erased. Scripts are not.
func TestErasureIsConfirmed(t *testing.T) {
	f := func(typed string, yes, asked, good bool) {
		t.Helper()
		person, program := newTerminal(t)
		if typed != "" {
			if _, err := person.WriteString(typed + "\n"); err != nil {
				t.Fatal(err)
			}
		}
		var shown strings.Builder
		c := gdprEraseCommand{Tenant: "acme", User: "mia\x1b[2J", Yes: yes}
		err := c.confirm(&world{stdin: program, stderr: &shown})
		if (err == nil) != good || asked != strings.Contains(shown.String(), "acme") || asked != strings.Contains(shown.String(), "mia") || strings.Contains(shown.String(), "\x1b") {
			t.Errorf("%q: %v, %q", typed, err, shown.String())
		}
	}
	f("yes", false, true, true)
	f("y", false, true, false)
	f(" ", false, true, false)
	f("yes please", false, true, false)
	f("", true, false, true)

	var shown strings.Builder
	script, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer script.Close()
	for _, w := range []*world{{stdin: script, stderr: &shown}, {stdin: strings.NewReader(""), stderr: &shown}} {
		if err := (&gdprEraseCommand{}).confirm(w); err != nil || shown.Len() > 0 {
			t.Errorf("%v, %q", err, shown.String())
		}
	}
}
