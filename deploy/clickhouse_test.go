package deploy_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/schemas"
)

// user is a user in users.xml or in the file of passwords.
type user struct {
	XMLName  xml.Name
	Remove   string   `xml:"remove,attr"`
	Profile  string   `xml:"profile"`
	Networks []string `xml:"networks>ip"`
	Grants   []string `xml:"grants>query"`
	Hash     string   `xml:"password_sha256_hex"`
	Password *string  `xml:"password"`
	None     *string  `xml:"no_password"`
}

func users(t *testing.T, text string) map[string]user {
	t.Helper()
	var file struct {
		Users struct {
			All []user `xml:",any"`
		} `xml:"users"`
	}
	if err := xml.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	found := map[string]user{}
	for _, u := range file.Users.All {
		found[u.XMLName.Local] = u
	}
	return found
}

// Users have grants in one file and a password in the other, and our services know it.
func TestClickHouseUsersHavePasswords(t *testing.T) {
	folder := makeSecrets(t)
	passwords, err := os.ReadFile(filepath.Join(folder, "clickhouse-passwords.xml"))
	if err != nil {
		t.Fatal(err)
	}
	hashes := users(t, string(passwords))
	all := users(t, read(t, "deploy/clickhouse/users.xml"))
	if all["default"].Remove == "" {
		t.Error("the user default, without a password, stays")
	}
	for name, u := range all {
		if u.Remove != "" {
			continue
		}
		password, err := os.ReadFile(filepath.Join(folder, "clickhouse-"+name))
		if err != nil {
			t.Error(err)
		}
		sum := sha256.Sum256(password)
		if hashes[name].Hash != hex.EncodeToString(sum[:]) || u.Hash != "" || u.Password != nil || u.None != nil {
			t.Errorf("%s: the password made does not fit the user", name)
		}
		if len(u.Grants) == 0 {
			t.Errorf("%s has no grants, which for ClickHouse is all of them", name)
		}
	}
	p := project(t)
	for _, name := range []string{"setup", "ingest", "exporter"} {
		s := service(t, p, name)
		user, file := *s.Environment["AGENTAUDIT_CLICKHOUSE__USER"], *s.Environment["AGENTAUDIT_CLICKHOUSE__PASSWORD_FILE"]
		if _, ok := all[user]; !ok || user != "agentaudit_"+name || file != "/run/secrets/clickhouse-"+user {
			t.Errorf("%s is user %s with password %s", name, user, file)
		}
	}
}

// A process may do what it does and no more.
func TestClickHouseGrants(t *testing.T) {
	all := users(t, read(t, "deploy/clickhouse/users.xml"))
	rights := regexp.MustCompile(`^GRANT (.+) ON (\S+)$`)
	granted := func(name string) map[string][]string { // by table
		found := map[string][]string{}
		for _, grant := range all[name].Grants {
			m := rights.FindStringSubmatch(strings.Join(strings.Fields(grant), " "))
			if m == nil {
				t.Fatalf("%s: grant %q", name, grant)
			}
			found[m[2]] = append(found[m[2]], m[1])
		}
		return found
	}
	for table, got := range granted("agentaudit_ingest") {
		want := "SELECT"
		if table == "audit.events" || table == "audit.fence" {
			want = "SELECT, INSERT"
		}
		if !slices.Equal(got, []string{want}) {
			t.Errorf("ingest may %v on %s, want %s", got, table, want)
		}
	}
	for _, name := range []string{"agentaudit_exporter", "agentaudit_analyst"} {
		for table, got := range granted(name) {
			if name == "agentaudit_exporter" && table == "audit.tiles" && slices.Equal(got, []string{"INSERT"}) {
				continue // which follow from entries, and are checked against them
			}
			if !strings.HasPrefix(got[0], "SELECT") || strings.Contains(got[0], "INSERT") {
				t.Errorf("%s may %v on %s", name, got, table)
			}
		}
	}
	want := map[string][]string{"audit.events": {"SELECT, ALTER DELETE, ALTER UPDATE(content)"}, "system.mutations": {"SELECT"}}
	if got := granted("agentaudit_retention"); !reflect.DeepEqual(got, want) {
		t.Errorf("retention may %v, want %v", got, want)
	}
	for _, table := range systemTables(t) {
		names := []string{"agentaudit_setup", "agentaudit_ingest", "agentaudit_exporter"}
		if table == "mutations" {
			names = []string{"agentaudit_setup", "agentaudit_retention"}
		}
		for _, name := range names {
			if granted(name)["system."+table] == nil {
				t.Errorf("%s may not read system.%s, which internal/store asks", name, table)
			}
		}
	}
	if profile := all["agentaudit_analyst"].Profile; profile != "agentaudit_reader" {
		t.Errorf("the analyst has profile %s", profile)
	}
	analystSees(t, granted("agentaudit_analyst"))
}

// analystSees compares with the tables: all views, and all columns of events but the entry, its hash and the content.
func analystSees(t *testing.T, granted map[string][]string) {
	t.Helper()
	migrations := migrationText(t)
	views := regexp.MustCompile(`CREATE VIEW IF NOT EXISTS \{\{\.Database\}\}\.(\w+)`).FindAllStringSubmatch(migrations, -1)
	if len(views) == 0 {
		t.Fatal("no views found")
	}
	for _, view := range views {
		if granted["audit."+view[1]] == nil {
			t.Errorf("the analyst may not read view %s", view[1])
		}
	}
	if want := len(views) + 1; len(granted) != want {
		t.Errorf("the analyst has rights on %d tables, want %d", len(granted), want)
	}
	_, table, _ := strings.Cut(migrations, "CREATE TABLE IF NOT EXISTS {{.Database}}.events")
	table, _, _ = strings.Cut(table, "ENGINE")
	hidden := []string{"entry", "leaf_hash", "content", "content_alg", "content_key"}
	var want []string
	for _, column := range regexp.MustCompile(`(?m)^    ([a-z_]+) +[A-Z]`).FindAllStringSubmatch(table, -1) {
		if !slices.Contains(hidden, column[1]) {
			want = append(want, column[1])
		}
	}
	list := strings.Trim(strings.TrimPrefix(granted["audit.events"][0], "SELECT"), "( )")
	if got := strings.Split(list, ", "); !slices.Equal(got, want) {
		t.Errorf("the analyst may read columns %v, want %v", got, want)
	}
}

func migrationText(t *testing.T) string {
	t.Helper()
	files, err := schemas.ClickHouse()
	if err != nil {
		t.Fatal(err)
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("migrations: %v, %v", names, err)
	}
	var all strings.Builder
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// systemTables are the tables of ClickHouse itself that internal/store asks.
func systemTables(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testkit.Root(t), "internal", "store", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var tables []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"[^"\n]*\bsystem\.([a-z_]+)`).FindAllSubmatch(text, -1) {
			tables = append(tables, string(m[1]))
		}
	}
	slices.Sort(tables)
	return slices.Compact(tables)
}
