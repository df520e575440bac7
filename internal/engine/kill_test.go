package engine_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/agentaudit/agentaudit/internal/engine/enginetest"
)

// Kill -9 under concurrent inserts: every acknowledged insert is there, once and whole, and no
// other is there in part.
func TestKillUnderInserts(t *testing.T) {
	const kills, writers, rows = 12, 4, 500
	p := enginetest.Start(t, enginetest.Options{})
	query(t, p, "CREATE TABLE k (writer UInt64, serial UInt64, row UInt64, filler String) ENGINE = MergeTree ORDER BY (writer, serial) SETTINGS fsync_after_insert = 1, fsync_part_directory = 1")

	var mu sync.Mutex
	acked := map[string]bool{}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acked)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for serial := 0; ; serial++ {
				select {
				case <-stop:
					return
				default:
				}
				if insertBlock(p, w, serial, rows) {
					mu.Lock()
					acked[fmt.Sprintf("%d\t%d", w, serial)] = true
					mu.Unlock()
				}
			}
		})
	}
	for kill := range kills {
		before := count()
		waitFor(t, func() bool { return count() >= before+25 })
		p.Kill()
		if err := p.Restart(); err != nil {
			t.Fatalf("restart %d: %v", kill+1, err)
		}
	}
	close(stop)
	wg.Wait()
	stored := 0
	for line := range strings.Lines(query(t, p, "SELECT writer, serial, count(), uniqExact(row) FROM k GROUP BY writer, serial") + "\n") {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if f[2] != fmt.Sprint(rows) || f[3] != fmt.Sprint(rows) {
			t.Errorf("insert %s/%s has %s rows, %s of them different, instead of %d", f[0], f[1], f[2], f[3], rows)
		}
		stored++
		delete(acked, f[0]+"\t"+f[1])
	}
	if len(acked) > 0 {
		t.Errorf("%d acknowledged inserts are lost", len(acked))
	}
	t.Logf("%d inserts of %d rows are stored after %d kills; peak memory of the engine %d MB", stored, rows, kills, peakMB(t, p.Pid()))
}

// insertBlock says whether an insert was acknowledged.
func insertBlock(p *enginetest.Proc, writer, serial, rows int) bool {
	var body bytes.Buffer
	for i := range rows {
		fmt.Fprintf(&body, "%d\t%d\t%d\t%s\n", writer, serial, i, strings.Repeat("x", 200))
	}
	v := url.Values{"query": {"INSERT INTO k FORMAT TSV"}}
	req, err := http.NewRequest(http.MethodPost, p.URL+"/?"+v.Encode(), &body)
	if err != nil {
		return false
	}
	req.SetBasicAuth(p.User, p.Password)
	res, err := client.Do(req)
	if err != nil {
		return false // it is down
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err == nil && res.StatusCode == http.StatusOK
}

func peakMB(t *testing.T, pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	kb := 0
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if _, err := fmt.Sscan(rest, &kb); err != nil {
				t.Fatal(err)
			}
		}
	}
	return kb / 1024
}

// A fault in the engine ends the process, its log says so, and the next start has everything.
func TestFaultEndsTheProcess(t *testing.T) {
	p := enginetest.Start(t, enginetest.Options{})
	query(t, p, "CREATE TABLE f (a Int) ENGINE = MergeTree ORDER BY a")
	query(t, p, "INSERT INTO f VALUES (1)")
	if err := p.Signal(syscall.SIGSEGV); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if !strings.Contains(p.Log(), "SIGSEGV") {
		t.Errorf("log: %s", p.Log())
	}
	if err := p.Restart(); err != nil {
		t.Fatal(err)
	}
	if got := query(t, p, "SELECT * FROM f"); got != "1" {
		t.Errorf("after the restart: %q", got)
	}
}

// SIGTERM and the end of the parent end it cleanly, in the middle of a statement too.
func TestShutdown(t *testing.T) {
	p := enginetest.Start(t, enginetest.Options{})
	query(t, p, "CREATE TABLE s (a UInt64) ENGINE = MergeTree ORDER BY a")
	ended := make(chan int)
	go func() {
		ended <- send(t, p, params("log_comment", "long"), strings.NewReader("SELECT sum(sipHash64(number)) FROM numbers(1000000000000)")).status
	}()
	waitFor(t, func() bool {
		return query(t, p, "SELECT count() FROM system.processes WHERE Settings['log_comment'] = 'long'") == "1"
	})
	// A client that has stopped sending does not hold it up either.
	c, err := net.Dial("tcp", p.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "POST /?query=INSERT+INTO+s+FORMAT+CSV&user=%s&password=%s&log_comment=stuck HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1\n", p.User, p.Password); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		return query(t, p, "SELECT count() FROM system.processes WHERE Settings['log_comment'] = 'stuck'") == "1"
	})
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if status := <-ended; status == http.StatusOK {
		t.Error("a killed statement was answered as if it were whole")
	}
	if !strings.Contains(p.Log(), "engine closed") {
		t.Errorf("log: %s", p.Log())
	}
	if err := p.Restart(); err != nil {
		t.Fatal(err)
	}
	if got := query(t, p, "SELECT count() FROM s"); got != "0" {
		t.Errorf("%s rows of an unfinished insert are stored", got)
	}
}

// A second process on the directory is refused, with words that help.
func TestDirectoryIsLocked(t *testing.T) {
	_, err := enginetest.Launch(enginetest.Options{Dir: shared.Dir}, t.TempDir())
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by process %d", shared.Pid())) {
		t.Fatalf("second engine: %v", err)
	}
}

func TestWrongLibrary(t *testing.T) {
	path := t.TempDir() + "/libchdb.so"
	if err := os.WriteFile(path, []byte("no library"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := enginetest.Launch(enginetest.Options{Library: path}, t.TempDir())
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("a file that is no library: %v", err)
	}
}

// The engine's memory is bounded: a query beyond it fails, the process lives on.
func TestMemoryIsBounded(t *testing.T) {
	p := enginetest.Start(t, enginetest.Options{MaxMemoryBytes: 512 << 20})
	refused(t, p, "241", "SELECT groupArray(number) FROM numbers(300000000)")
	if got := query(t, p, "SELECT 1"); got != "1" {
		t.Errorf("afterwards: %q", got)
	}
	t.Logf("peak memory %d MB", peakMB(t, p.Pid()))
}
