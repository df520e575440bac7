package kafkaio_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/child"
	"github.com/agentaudit/agentaudit/internal/child/childtest"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
)

// A member consumes like ingest does: it takes its place from the sink, and the sink takes each run of records only at that place
// (compare-and-swap), so a second writer is found out. Sink and members talk over HTTP, because some members are processes of their own.

// memberConfig is what a member is told.
type memberConfig struct {
	Name, Broker, Sink, Topic, Group string
}

func init() { childtest.Register("kafkaio-member", serveMember) }

// serveMember is a member in a process of its own, until stdin ends.
func serveMember(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	return child.Serve(ctx, stdin, stdout, func(ctx context.Context, cfg memberConfig, ready func(string)) error {
		ready("127.0.0.1:0")
		return runMember(ctx, cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	})
}

// runMember takes part in a group until ctx ends.
func runMember(ctx context.Context, cfg memberConfig, log *slog.Logger) error {
	kafkaConfig := kafkaio.DefaultConfig()
	kafkaConfig.Brokers = []string{cfg.Broker}
	kafkaConfig.FetchMaxBytes = 64 << 10
	kafkaConfig.FetchMaxWait = 100 * time.Millisecond
	c, err := kafkaio.New(kafkaConfig, kafkaio.Deps{Logger: log.With("member", cfg.Name)})
	if err != nil {
		return err
	}
	defer c.Close()
	group, err := c.NewGroup(kafkaio.GroupConfig{ID: cfg.Group, Topics: []string{cfg.Topic}, WatchPartitionsEvery: time.Second})
	if err != nil {
		return err
	}
	sink := sinkClient{cfg.Sink}
	return group.Run(ctx, func(ctx context.Context, a kafkaio.Assignment) error {
		defer func() { sink.report(cfg.Name, a.Partition, false) }()
		sink.report(cfg.Name, a.Partition, true)
		for ctx.Err() == nil { // again after a lost compare-and-swap
			err := work(ctx, c, sink, a)
			if !errors.Is(err, errLost) {
				return err
			}
		}
		return nil
	})
}

var errLost = errors.New("another writer was there first")

func work(ctx context.Context, c *kafkaio.Client, sink sinkClient, a kafkaio.Assignment) error {
	next, err := sink.next(ctx, a.Partition)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	out := make(chan *kafkaio.Batch, 1)
	failed := make(chan error, 1)
	go func() { failed <- c.Follow(ctx, a.Topic, a.Partition, next, out) }() // ends with ctx
	defer func() { cancel(); <-failed }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			failed <- nil
			return err
		case b := <-out:
			run := applied{Partition: a.Partition, From: next, To: b.Next}
			for i := range b.Records {
				var p, n int
				if _, err := fmt.Sscanf(string(b.Records[i].Value[:min(32, len(b.Records[i].Value))]), "%d/%d ", &p, &n); err != nil || p != a.Partition {
					return fmt.Errorf("record %d is not ours: %w", b.Records[i].Offset, err)
				}
				run.Numbers = append(run.Numbers, n)
			}
			next = b.Next
			b.Release()
			if err := sink.apply(ctx, run); err != nil {
				return err
			}
			a.Commit(next)
		}
	}
}

// applied is a run of records that a member brings to the sink.
type applied struct {
	Partition int
	From, To  int64
	Numbers   []int
}

type sinkClient struct{ url string }

func (s sinkClient) next(ctx context.Context, partition int) (next int64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/next?partition=%d", s.url, partition), nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	return next, json.NewDecoder(res.Body).Decode(&next)
}

func (s sinkClient) apply(ctx context.Context, a applied) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	// Not bound to ctx: a write on its way cannot be called back, and that is what the sink must bear.
	res, err := http.Post(s.url+"/apply", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusConflict {
		return errLost
	}
	if res.StatusCode != http.StatusOK {
		answer, _ := io.ReadAll(res.Body)
		return fmt.Errorf("sink: %s", answer)
	}
	return nil
}

func (s sinkClient) report(member string, partition int, owns bool) {
	res, err := http.Post(fmt.Sprintf("%s/report?member=%s&partition=%d&owns=%v", s.url, member, partition, owns), "", nil)
	if err == nil {
		res.Body.Close()
	}
}

// sink keeps what was applied.
type sink struct {
	*httptest.Server

	mu     sync.Mutex
	next   map[int]int64           // guarded by mu, as are all below
	count  map[int]int             // records applied
	lost   int                     // compare-and-swaps that failed
	wrong  []string                // what must never be
	owners map[string]map[int]bool // by member
	ends   map[string]time.Time    // when a member last gave a partition up
}

func newSink(t *testing.T) *sink {
	s := &sink{next: map[int]int64{}, count: map[int]int{}, owners: map[string]map[int]bool{}, ends: map[string]time.Time{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /next", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		json.NewEncoder(w).Encode(s.next[number(r, "partition")])
	})
	mux.HandleFunc("POST /apply", func(w http.ResponseWriter, r *http.Request) {
		var a applied
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.next[a.Partition] != a.From {
			s.lost++
			http.Error(w, "lost", http.StatusConflict)
			return
		}
		s.next[a.Partition] = a.To
		for _, n := range a.Numbers {
			if n != s.count[a.Partition] {
				s.wrong = append(s.wrong, fmt.Sprintf("partition %d: record %d came instead of %d", a.Partition, n, s.count[a.Partition]))
				s.count[a.Partition] = n
			}
			s.count[a.Partition]++
		}
	})
	mux.HandleFunc("POST /report", func(_ http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		member := r.FormValue("member")
		if s.owners[member] == nil {
			s.owners[member] = map[int]bool{}
		}
		if r.FormValue("owns") == "true" {
			s.owners[member][number(r, "partition")] = true
		} else {
			delete(s.owners[member], number(r, "partition"))
			s.ends[member] = time.Now()
		}
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		s.Close()
	})
	return s
}

func number(r *http.Request, name string) (n int) {
	fmt.Sscan(r.FormValue(name), &n)
	return n
}

// owned is how many partitions a member works on.
func (s *sink) owned(member string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.owners[member])
}

// gaveUp is when a member last gave a partition up.
func (s *sink) gaveUp(member string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ends[member]
}

func (s *sink) total() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.count {
		n += c
	}
	return n
}
