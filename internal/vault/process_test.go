package vault

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// children are what the test binary can do as a process of its own.
var children = map[string]func(ctx context.Context, args []string) error{
	"subjects": childSubjects,
}

// childSubjects gets or creates the same people as its siblings, in an order of its own, and prints one line "number pseudonym key" for each.
// Arguments: driver, DSN, keyring, first person, number of people, batch.
func childSubjects(ctx context.Context, args []string) error {
	keys, err := OpenKeyring(ctx, KeyConfig{Source: args[2]})
	if err != nil {
		return err
	}
	v, err := Open(ctx, Config{Driver: args[0], DSN: args[1], Deployment: "audit.example.com"}, keys)
	if err != nil {
		return err
	}
	defer v.Close()
	first, _ := strconv.Atoi(args[3])
	n, _ := strconv.Atoi(args[4])
	batch, _ := strconv.Atoi(args[5])
	all := people(first, n)
	order := rand.Perm(n)
	out := bufio.NewWriter(os.Stdout)
	for len(order) > 0 {
		some := order[:min(batch, len(order))]
		order = order[len(some):]
		ids := make([]Identity, len(some))
		for i, number := range some {
			ids[i] = all[number]
		}
		subjects, err := v.Subjects(ctx, ids)
		if err != nil {
			return err
		}
		for i, s := range subjects {
			fmt.Fprintf(out, "%d %s %s\n", some[i], s.ID, s.Keys.ID)
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func startChild(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childVariable+"="+name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Several processes that begin on an empty database and create the same people at the same time agree on each pseudonym.
func TestProcessesAgreeOnSubjects(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		const processes, n = 4, 600
		_, keyCfg := newKeyring(t)
		outputs := make([]string, processes)
		var wg sync.WaitGroup
		for i := range processes {
			wg.Go(func() {
				cmd := startChild(t, "subjects", cfg.Driver, cfg.DSN, keyCfg.Source, "0", strconv.Itoa(n), "97")
				var stderr strings.Builder
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				if err != nil {
					t.Errorf("child %d: %v: %s", i, err, stderr.String())
				}
				outputs[i] = string(out)
			})
		}
		wg.Wait()
		agreed := make(map[string]string)
		for i, out := range outputs {
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if len(lines) != n {
				t.Fatalf("child %d printed %d lines, want %d", i, len(lines), n)
			}
			for _, line := range lines {
				number, subject, _ := strings.Cut(line, " ")
				if other, ok := agreed[number]; ok && other != subject {
					t.Fatalf("person %s is %s and %s", number, other, subject)
				}
				agreed[number] = subject
			}
		}
		keys, err := OpenKeyring(t.Context(), keyCfg)
		if err != nil {
			t.Fatal(err)
		}
		checkSubjects(t, openVault(t, cfg, keys), n)
	})
}

// A process that is killed while it creates people leaves each of them whole or not there, and the pseudonyms that it had said stay.
func TestKilledWhileCreating(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		const n = 200_000 // more than it gets done
		keys, keyCfg := newKeyring(t)
		v := openVault(t, cfg, keys)
		said := make(map[int]string)
		for round := range 5 {
			cmd := startChild(t, "subjects", cfg.Driver, cfg.DSN, keyCfg.Source, "0", strconv.Itoa(n), "20")
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stdout)
			for seen := 0; lines.Scan(); seen++ {
				var number int
				var subject, key string
				if _, err := fmt.Sscan(lines.Text(), &number, &subject, &key); err != nil {
					continue // a line cut off by the kill
				}
				if len(subject) != 36 || len(key) != 36 {
					continue
				}
				if before, ok := said[number]; ok && before != subject {
					t.Fatalf("person %d was %s and is %s", number, before, subject)
				}
				said[number] = subject
				if seen == 100+37*round {
					if err := cmd.Process.Kill(); err != nil {
						t.Fatal(err)
					}
				}
			}
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) {
				t.Fatalf("the child ended by itself: %v", err)
			}
		}
		everybody := people(0, n)
		ids := make([]Identity, 0, len(said))
		for number := range said {
			ids = append(ids, everybody[number])
		}
		got := subjectsOf(t, v, ids...)
		for i, id := range ids {
			var number int
			if _, err := fmt.Sscanf(id.User, "user-%d@", &number); err != nil {
				t.Fatal(err)
			}
			if said[number] != got[i].ID.String() {
				t.Errorf("person %d is %s, the killed process said %s", number, got[i].ID, said[number])
			}
		}
		checkSubjects(t, v, -1)
	})
}

// checkSubjects opens every row, and counts them if want is not -1.
func checkSubjects(t *testing.T, v *Vault, want int) {
	t.Helper()
	rows, err := collect(t.Context(), v.db.read, scanSubject, subjectColumns+"1 = 1")
	if err != nil {
		t.Fatal(err)
	}
	if want >= 0 && len(rows) != want {
		t.Errorf("%d subjects, want %d", len(rows), want)
	}
	ws := v.keys.wrappers()
	hasher := newHasher(&v.secrets.lookup)
	for i := range rows {
		if _, err := rows[i].subject(t.Context(), ws); err != nil {
			t.Fatal(err)
		}
		who, err := rows[i].who(t.Context(), ws)
		if err != nil {
			t.Fatal(err)
		}
		if hasher.identity(who) != rows[i].lookup {
			t.Fatalf("subject %s is found under the hash of somebody else", rows[i].id)
		}
	}
}
