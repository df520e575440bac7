package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"
)

// FenceError says why ClickHouse cannot be trusted to keep two writers of one log
// apart, and what to change. Nothing may be written until it is mended.
type FenceError struct {
	Server   string // host:port
	Problems []string
}

func (e *FenceError) Error() string {
	return "clickhouse at " + e.Server + " does not keep writers apart: " + strings.Join(e.Problems, "; ")
}

const (
	// minWindow is how many inserts back a token is remembered at least. At 40 inserts a
	// second, the most that was ever measured of small ones, these are 40 minutes; no
	// insert is at work longer than Config.InsertTimeout, 10 minutes at most.
	minWindow = 100_000
	// minWindowSeconds is how long a replicated table remembers a token at least.
	minWindowSeconds = 86_400
)

// minVersion is the oldest ClickHouse that this is tested against.
var minVersion = [2]int{25, 8}

// AssertFence checks, on every server, everything that "one writer a log" rests on:
// the table, its settings, the settings that an insert has when it arrives, sessions,
// and by a probe that a second block under a used token is dropped. It returns a
// *FenceError, or what kept it from looking.
func (s *Store) AssertFence(ctx context.Context) error {
	for _, at := range s.servers {
		f := &fence{store: s, at: at}
		for _, check := range []func(context.Context) error{
			f.checkVersion, f.checkTable, f.checkColumns, f.checkInsertSettings, f.checkCluster, f.checkSessions, f.checkTokens,
		} {
			if err := check(ctx); err != nil {
				return fmt.Errorf("check whether clickhouse keeps writers apart: %w", err)
			}
		}
		if len(f.problems) > 0 {
			return &FenceError{Server: at.base.Host, Problems: f.problems}
		}
	}
	return nil
}

// fence collects what is wrong with one server.
type fence struct {
	store    *Store
	at       *server
	problems []string
}

func (f *fence) problem(format string, args ...any) {
	f.problems = append(f.problems, fmt.Sprintf(format, args...))
}

// texts runs a query whose columns are all strings, and returns its rows.
func (f *fence) texts(ctx context.Context, sql string, p params, columns ...string) ([][]string, error) {
	decoded := make([]proto.ColStr, len(columns))
	results := make(proto.Results, len(columns))
	for i, name := range columns {
		results[i] = proto.ResultColumn{Name: name, Data: &decoded[i]}
	}
	var rows [][]string
	err := f.at.readNative(ctx, sql+" FORMAT Native", p, results, func(n int) error {
		for i := range n {
			row := make([]string, len(columns))
			for j := range columns {
				row[j] = decoded[j].Row(i)
			}
			rows = append(rows, row)
		}
		return nil
	})
	return rows, err
}

func (f *fence) checkVersion(ctx context.Context) error {
	rows, err := f.texts(ctx, "SELECT version() AS v", params{}, "v")
	if err != nil {
		return err
	}
	var major, minor int
	if _, err := fmt.Sscanf(rows[0][0], "%d.%d.", &major, &minor); err != nil || major < minVersion[0] || major == minVersion[0] && minor < minVersion[1] {
		f.problem("version %s: upgrade to %d.%d or later", rows[0][0], minVersion[0], minVersion[1])
	}
	return nil
}

func (f *fence) table() params { return params{"param_database": f.store.cfg.Database} }

// tableTTL finds a TTL in a table's definition: it would delete entries one by one.
var tableTTL = regexp.MustCompile(`\bTTL\b`)

func (f *fence) checkTable(ctx context.Context) error {
	rows, err := f.texts(ctx, "SELECT engine, partition_key, sorting_key, engine_full, arrayStringConcat(dependencies_table, ', ') AS dependants"+
		" FROM system.tables WHERE database = {database:String} AND name = 'events'", f.table(),
		"engine", "partition_key", "sorting_key", "engine_full", "dependants")
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		f.problem("table %s does not exist: let a process with the right to create it migrate", f.store.events)
		return nil
	}
	engine, partition, sorting, full, dependants := rows[0][0], rows[0][1], rows[0][2], rows[0][3], rows[0][4]
	want := "MergeTree"
	if f.store.cfg.Cluster != "" {
		want = "ReplicatedMergeTree"
	}
	if engine != want {
		f.problem("table %s has engine %s: it must be %s (with a cluster configured ReplicatedMergeTree, else MergeTree)", f.store.events, engine, want)
	}
	if partition != "epoch" {
		f.problem("table %s is partitioned by %q: it must be epoch, the scope of a token", f.store.events, partition)
	}
	if sorting != "log, seq" {
		f.problem("table %s is ordered by %q: it must be log, seq", f.store.events, sorting)
	}
	if tableTTL.MatchString(full) {
		f.problem("table %s has a TTL: remove it (ALTER TABLE … REMOVE TTL); retention drops whole epochs", f.store.events)
	}
	if dependants != "" {
		f.problem("materialized views read inserts into %s (%s): drop them; an insert that fails in one of them may be stored all the same", f.store.events, dependants)
	}
	return f.checkTableSettings(ctx, full)
}

func (f *fence) checkTableSettings(ctx context.Context, full string) error {
	minimum := map[string]uint64{"fsync_after_insert": 1, "fsync_part_directory": 1, "non_replicated_deduplication_window": minWindow}
	if f.store.cfg.Cluster != "" {
		minimum = map[string]uint64{"fsync_after_insert": 1, "fsync_part_directory": 1,
			"replicated_deduplication_window": minWindow, "replicated_deduplication_window_seconds": minWindowSeconds}
	}
	for _, name := range slices.Sorted(maps.Keys(minimum)) {
		value, err := f.tableSetting(ctx, full, name)
		if err != nil {
			return err
		}
		if n, err := strconv.ParseUint(value, 10, 64); err != nil || n < minimum[name] {
			f.problem("table %s has %s = %s: it must be at least %d (ALTER TABLE … MODIFY SETTING)", f.store.events, name, value, minimum[name])
		}
	}
	return nil
}

// tableSetting returns a setting of the table as its definition has it, else the server's.
func (f *fence) tableSetting(ctx context.Context, full, name string) (string, error) {
	if own := regexp.MustCompile(`\b` + name + ` = '?(\w+)`).FindStringSubmatch(full); own != nil {
		return truth(own[1]), nil
	}
	rows, err := f.texts(ctx, "SELECT value FROM system.merge_tree_settings WHERE name = {name:String}", params{"param_name": name}, "value")
	if err != nil {
		return "", err
	}
	if len(rows) == 0 {
		return "unknown", nil
	}
	return truth(rows[0][0]), nil
}

// truth writes a boolean as ClickHouse does elsewhere.
func truth(value string) string {
	switch value {
	case "true":
		return "1"
	case "false":
		return "0"
	}
	return value
}

func (f *fence) checkColumns(ctx context.Context) error {
	rows, err := f.texts(ctx, "SELECT name, type FROM system.columns WHERE database = {database:String} AND table = 'events'", f.table(), "name", "type")
	if err != nil || len(rows) == 0 {
		return err // checkTable says that the table is missing
	}
	types := map[string]string{}
	for _, row := range rows {
		types[row[0]] = row[1]
	}
	for i := range described {
		if got := types[described[i].name]; got != described[i].typ {
			f.problem("column %s has type %q: it must be %s", described[i].name, got, described[i].typ)
		}
	}
	return nil
}

// checkInsertSettings asks what becomes of an insert's settings on their way: profiles
// of the user and proxies may change them.
func (f *fence) checkInsertSettings(ctx context.Context) error {
	asked := f.store.insertParams()
	rows, err := f.texts(ctx, "SELECT name, value FROM system.settings", asked, "name", "value")
	if err != nil {
		return err
	}
	values := map[string]string{}
	for _, row := range rows {
		values[row[0]] = row[1]
	}
	delete(asked, "wait_end_of_query") // of the HTTP interface
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		if got, ok := values[name]; !ok || truth(got) != asked[name] {
			f.problem("an insert arrives with %s = %q: it must be %s; look at the user's profile and at proxies in between", name, got, asked[name])
		}
	}
	// From 26.2 on; it outranks insert_deduplicate.
	if got, ok := values["deduplicate_insert"]; ok && got == "disable" {
		f.problem("an insert arrives with deduplicate_insert = disable: it must be enable; look at the user's profile")
	}
	return nil
}

func (f *fence) checkCluster(ctx context.Context) error {
	cluster := f.store.cfg.Cluster
	if cluster == "" {
		return nil
	}
	rows, err := f.texts(ctx, "SELECT toString(uniqExact(shard_num)) AS shards FROM system.clusters WHERE cluster = {cluster:String}", params{"param_cluster": cluster}, "shards")
	if err != nil {
		return err
	}
	if rows[0][0] != "1" {
		f.problem("cluster %s has %s shards: it must have one, so that every server knows the head of every log", cluster, rows[0][0])
	}
	rows, err = f.texts(ctx, "SELECT toString(is_readonly) AS readonly FROM system.replicas WHERE database = {database:String} AND table = 'events'", f.table(), "readonly")
	if err != nil {
		return err
	}
	if len(rows) == 0 || rows[0][0] != "0" {
		f.problem("the replica of %s is read-only or unknown: look at its connection to Keeper", f.store.events)
	}
	return nil
}

// checkSessions asks in a session that does not exist: it must be refused, or a request
// that comes late could land on a server that has forgotten its token.
func (f *fence) checkSessions(ctx context.Context) error {
	unknown := &session{server: f.at, id: "agentaudit-" + rand.Text()}
	_, err := f.texts(ctx, "SELECT '1' AS one", unknown.params(), "one")
	var e *Exception
	switch {
	case err == nil:
		f.problem("a request of an unknown session was answered: session_id and session_check must reach the server")
	case !errors.As(err, &e):
		return err
	case e.Code != codeSessionNotFound:
		f.problem("a request of an unknown session was refused with code %d instead of %d", e.Code, codeSessionNotFound)
	}
	return nil
}

// checkTokens inserts into table fence, which has the settings of events, as writers
// insert: two rows under one token, of which the second must vanish, and a third under
// another token, which must not.
func (f *fence) checkTokens(ctx context.Context) error {
	probe := uuid.New().String()
	token := rand.Text()
	for i, under := range []string{token, token, rand.Text()} {
		row := "1\t" + probe + "\t" + strconv.Itoa(i) + "\n"
		p := f.store.insertParams().with(params{
			"query":                      "INSERT INTO " + f.store.cfg.Database + ".fence (epoch, probe, made) FORMAT TabSeparated",
			"insert_deduplication_token": under,
		})
		body := newBlockBody([][]byte{[]byte(row)})
		if err := f.at.insert(ctx, p, body, body.size); err != nil {
			var e *Exception
			if errors.As(err, &e) && (e.Code == codeUnknownTable || e.Code == codeUnknownDatabase) {
				f.problem("table %s.fence does not exist: let a process with the right to create it migrate", f.store.cfg.Database)
				return nil
			}
			return fmt.Errorf("probe a token: %w", err)
		}
	}
	rows, err := f.texts(ctx, "SELECT toString(made) AS made FROM "+f.store.cfg.Database+".fence WHERE probe = {probe:UUID} ORDER BY made", params{"param_probe": probe}, "made")
	if err != nil {
		return err
	}
	var made []string
	for _, row := range rows {
		made = append(made, row[0])
	}
	if got := strings.Join(made, " "); got != "0 2" {
		f.problem("of three inserts under tokens A, A and B these were stored: %q; the first and the last must be: insert_deduplication_token must reach the server", got)
	}
	return nil
}
