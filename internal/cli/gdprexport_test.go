package cli_test

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/up/uptest"
)

// unpack writes the files of a ZIP below a folder.
func unpack(t *testing.T, file string) (folder string) {
	t.Helper()
	in, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	folder = t.TempDir()
	for _, f := range in.File {
		path := filepath.Join(folder, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		content, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(content)
		if err != nil || content.Close() != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// A person's export as a data protection officer gets it, and checked as its README says.
func TestGdprExportCommand(t *testing.T) {
	u := uptest.Start(t, "", "--partitions", "2", "--quiet")
	u.Good(t, wire(1, "mia@example.com", "noah@example.com")+wire(2, "mia@example.com")+wire(3, "ada@example.com")+wire(4, "ada@example.com", "mia@example.com"), "emit")
	awaitEvents(t, u, 4)
	dir := t.TempDir()
	out := filepath.Join(dir, "mia.zip")
	arguments := func(user, file string, more ...string) []string {
		return append([]string{"gdpr", "export", "--tenant", "acme", "--user", user, "--out", file}, more...)
	}
	if printed := u.Good(t, "", arguments("mia@example.com", out, "--id", "crm-1")...); !strings.Contains(printed, "3 events") {
		t.Errorf("printed %q", printed)
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the archive's file: %v, %v", info, err)
	}
	folder := unpack(t, out)
	lines, err := os.ReadFile(filepath.Join(folder, "events.jsonl"))
	if err != nil || strings.Count(string(lines), "\n") != 3 || !strings.Contains(string(lines), "words of mia") || strings.Contains(string(lines), "noah") {
		t.Errorf("the events: %s, %v", lines, err)
	}
	readme, err := os.ReadFile(filepath.Join(folder, "README.txt"))
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^  agentaudit (verify-proof .*)$`).FindAllStringSubmatch(string(readme), -1)
	good := 0
	for _, command := range commands {
		args := strings.Fields(command[1])
		args[1] = filepath.Join(folder, filepath.FromSlash(args[1]))
		r := u.Run(t, "", args...)
		if r.Code != 0 {
			t.Errorf("%s: exit code %d, %s%s", command[0], r.Code, r.Stdout, r.Stderr)
		}
		good += strings.Count(r.Stdout, "good: entry ")
	}
	if good != 3 {
		t.Errorf("%d good proofs by %d commands", good, len(commands))
	}

	// The same request again; it is not written over what is there.
	if r := u.Run(t, "", arguments("mia@example.com", out, "--id", "crm-1")...); r.Code != 2 {
		t.Errorf("written over a file: exit code %d", r.Code)
	}
	again := filepath.Join(dir, "again.zip")
	var result struct {
		RequestID string `json:"request_id"`
		Status    string `json:"status"`
		Events    int    `json:"events"`
	}
	if err := json.Unmarshal([]byte(u.Good(t, "", arguments("mia@example.com", again, "--id", "crm-1", "--json")...)), &result); err != nil || result.Events != 3 || result.Status != "completed" {
		t.Errorf("%+v, %v", result, err)
	}
	if a, err := os.ReadFile(out); err != nil {
		t.Error(err)
	} else if b, err := os.ReadFile(again); err != nil || string(a) != string(b) {
		t.Errorf("another archive: %v", err)
	}
	if status := u.Good(t, "", "gdpr", "status", result.RequestID); !strings.Contains(status, "the archive has 3 events and can be fetched until ") {
		t.Errorf("status %s", status)
	}
	none := filepath.Join(dir, "none.zip")
	if r := u.Run(t, "", arguments("ada@example.com", none, "--id", "crm-1")...); r.Code != 2 || !strings.Contains(r.Stderr, "another request") {
		t.Errorf("another person's archive: exit code %d, %s", r.Code, r.Stderr)
	}
	if r := u.Run(t, "", arguments("nobody", none)...); r.Code != 1 || !strings.Contains(r.Stdout, "nobody of that name is known") {
		t.Errorf("an unknown person: exit code %d, %s", r.Code, r.Stdout)
	}

	// For somebody else's key.
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	sealed := filepath.Join(dir, "mia.zip.age")
	if printed := u.Good(t, "", arguments("mia@example.com", sealed, "--recipient", key.Recipient().String())...); !strings.Contains(printed, "age --decrypt") {
		t.Errorf("printed %q", printed)
	}
	file, err := os.Open(sealed)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	opened, err := age.Decrypt(file, key)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(opened); err != nil || !strings.HasPrefix(string(text), "PK\x03\x04") {
		t.Errorf("the recipient gets %.10q, %v", text, err)
	}

	u.Good(t, "", "gdpr", "erase", "--tenant", "acme", "--user", "mia@example.com", "--wait")
	testkit.Eventually(t, time.Minute, func() bool {
		left, err := os.ReadDir(filepath.Join(u.Dir, "exports"))
		return err == nil && len(left) == 0
	}, "the archives are gone with the person")
	if r := u.Run(t, "", arguments("mia@example.com", none, "--id", "crm-1")...); r.Code != 2 {
		t.Errorf("fetched after the erasure: exit code %d, %s", r.Code, r.Stderr)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("there is %v, %v", fmt.Sprint(left), err)
	}
}
