package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// storedRounds is how often the log is read by each of those that are compared, in turns.
const storedRounds = 3

// verify measures `agentaudit verify` beside the query that it reads, thrown away as it comes.
func (s *stored) verify(ctx context.Context) error {
	var raw, decoded, rows, ours, costs, rawEngine, oursEngine []float64
	for round := range storedRounds {
		fmt.Fprintf(os.Stderr, "verify: round %d of %d …\n", round+1, storedRounds)
		began, used := time.Now(), s.engineCost()
		if err := s.rawScan(ctx); err != nil {
			return err
		}
		rawEngine = append(rawEngine, s.engineCost()-used)
		raw = append(raw, float64(s.entries)/time.Since(began).Seconds())
		began = time.Now()
		if err := s.systems.Store.Scan(ctx, storedLog, 0, func(uint64, []byte, chain.Hash) error { return nil }); err != nil {
			return err
		}
		decoded = append(decoded, float64(s.entries)/time.Since(began).Seconds())
		began = time.Now()
		if err := s.scanRows(ctx); err != nil {
			return err
		}
		rows = append(rows, float64(s.entries)/time.Since(began).Seconds())
		used = s.engineCost()
		perSecond, cost, err := s.verifyOnce(ctx)
		if err != nil {
			return err
		}
		oursEngine = append(oursEngine, s.engineCost()-used)
		ours, costs = append(ours, perSecond), append(costs, cost.Seconds()/(float64(s.entries)/1e6))
	}
	s.table.add("  verify", rates(ours), fmt.Sprintf("%.0f %% of the scan by clickhouse-go, %.0f %% of the raw scan (medians); %.2f s CPU of the client per million, %.2f s of the engine", 100*median(ours)/median(rows), 100*median(ours)/median(raw), median(costs), median(oursEngine)))
	s.table.add("  raw scan of seq, entry, leaf_hash", rates(raw), fmt.Sprintf("bytes of the answer thrown away; %.2f s CPU of the engine per million", median(rawEngine)))
	s.table.add("  the same, decoded", rates(decoded), "by us, block by block")
	s.table.add("  the same by clickhouse-go", rates(rows), "row by row, as a program would that checked nothing")
	return nil
}

// engineCost is the CPU time that the engine has used, in seconds per million of the log's entries.
func (s *stored) engineCost() float64 {
	used, err := cpu(s.engine.pid())
	if err != nil {
		return 0 // the engine has ended, which the next query says
	}
	return used.Seconds() / (float64(s.entries) / 1e6)
}

// verifyOnce runs the program as a user would.
func (s *stored) verifyOnce(ctx context.Context) (perSecond float64, cost time.Duration, err error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.folder.bin, "agentaudit"), "verify", "--data", s.folder.dir, "--log", storedLog, "--json")
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, 0, fmt.Errorf("%s: %w\n%s%s", cmd, err, &out, &problems)
	}
	took := time.Since(began)
	var report struct {
		OK      bool
		Entries uint64
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return 0, 0, err
	}
	if !report.OK || report.Entries != s.entries {
		return 0, 0, fmt.Errorf("%s: %s", cmd, &out)
	}
	return float64(s.entries) / took.Seconds(), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// scanRows reads the same rows by the usual client and looks at none.
func (s *stored) scanRows(ctx context.Context) error {
	c := s.folder.cfg.ClickHouse
	password, err := os.ReadFile(string(c.PasswordFile))
	if err != nil {
		return err
	}
	conn, err := clickhouse.Open(&clickhouse.Options{
		Protocol: clickhouse.HTTP, Addr: []string{strings.TrimPrefix(c.Addresses[0], "http://")}, ReadTimeout: 10 * time.Minute,
		Auth: clickhouse.Auth{Database: c.Database, Username: c.User, Password: strings.TrimSpace(string(password))},
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	rows, err := conn.Query(ctx, "SELECT seq, entry, leaf_hash FROM "+c.Database+".events WHERE log = '"+storedLog+"' ORDER BY log, seq SETTINGS optimize_read_in_order = 1")
	if err != nil {
		return err
	}
	defer rows.Close()
	n := uint64(0)
	var seq uint64
	var entry, leaf string
	for ; rows.Next(); n++ {
		if err := rows.Scan(&seq, &entry, &leaf); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if n != s.entries {
		return fmt.Errorf("clickhouse-go read %d entries of %d", n, s.entries)
	}
	return nil
}

// rawScan reads what verify reads, under the same settings, and throws it away.
func (s *stored) rawScan(ctx context.Context) error {
	c := s.folder.cfg.ClickHouse
	password, err := os.ReadFile(string(c.PasswordFile))
	if err != nil {
		return err
	}
	settings := url.Values{"optimize_read_in_order": {"1"}, "max_block_size": {"8192"}, "preferred_block_size_bytes": {"1048576"}}
	sql := "SELECT seq, entry, leaf_hash FROM " + c.Database + ".events WHERE log = '" + storedLog + "' AND seq >= 0 ORDER BY log, seq FORMAT Native"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Addresses[0]+"/?"+settings.Encode(), strings.NewReader(sql))
	if err != nil {
		return err
	}
	request.Header.Set("X-ClickHouse-User", c.User)
	request.Header.Set("X-ClickHouse-Key", strings.TrimSpace(string(password)))
	client := &http.Client{Transport: &http.Transport{ReadBufferSize: 64 << 10, DisableCompression: true, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New("the raw scan is answered with " + response.Status)
	}
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil && uint64(n) < s.entries*chain.HashBytes {
		err = errors.New("the raw scan ends early")
	}
	return err
}
