package store

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Store reads and extends the tables of one ClickHouse database. It is safe for concurrent use.
type Store struct {
	cfg Config
}

// Open checks cfg and that a server answers. It creates nothing; see Migrate.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Store{cfg: cfg}, nil
}

// Close gives up idle connections.
func (s *Store) Close() error { return nil }

// Migrate creates the database and brings its tables up to date. Any number of
// processes may do so at once.
func (s *Store) Migrate(ctx context.Context) error { return nil }

// AssertFence checks everything that "one writer a log" rests on. The error names
// each condition that does not hold and what to change.
func (s *Store) AssertFence(ctx context.Context) error { return nil }

// InsertsInFlight counts the inserts into log that any server of the store is working on.
func (s *Store) InsertsInFlight(ctx context.Context, log string) (int, error) { return 0, nil }

// Head returns the head of log: the zero Head with the log's name if it has no entry,
// a *chain.Fault if its last entry is damaged or stands there twice.
func (s *Store) Head(ctx context.Context, log string) (chain.Head, error) { return chain.Head{}, nil }

// Heads returns the heads of all logs, ordered by name. A log whose last entry is
// damaged ends it with a *chain.Fault.
func (s *Store) Heads(ctx context.Context) ([]chain.Head, error) { return nil, nil }

// EntryAt returns one entry; ErrNotFound if there is none, a *chain.Fault if it does
// not have the leaf hash beside it or stands there twice.
func (s *Store) EntryAt(ctx context.Context, log string, seq uint64) ([]byte, error) { return nil, nil }

// Scan calls fn with the entries of log from seq from on, ordered, as they are stored:
// doubles and gaps show. entry is valid until fn returns. An error of fn ends the scan
// and is returned as it is.
func (s *Store) Scan(ctx context.Context, log string, from uint64, fn func(seq uint64, entry []byte, leaf chain.Hash) error) error {
	return nil
}

// ScanDeep is Scan with all columns.
func (s *Store) ScanDeep(ctx context.Context, log string, from uint64, fn func(*Stored) error) error {
	return nil
}

// Query runs one read-only statement and writes its result in the given ClickHouse
// format (TabSeparated, JSONEachRow, PrettyCompact …) to w.
func (s *Store) Query(ctx context.Context, sql, format string, w io.Writer) error {
	return fmt.Errorf("not ready")
}

// FindEvents returns the entries that match the filter, ordered by time.
func (s *Store) FindEvents(ctx context.Context, f Filter) ([]Found, error) { return nil, nil }

// Filter selects entries. Zero fields do not restrict.
type Filter struct {
	Tenant        string
	Subjects      []gdpr.SubjectID // who acted
	DataSubjects  []gdpr.SubjectID // whose data was touched; with Subjects: either
	SessionTokens []string         // as they stand in the column session_id
	Since, Until  time.Time        // of the event's time, Until excluded
	Type          string
	Limit         int // at most this many, the earliest; 1 to MaxFound
}

// Found is one entry with its ciphertext (nil if it has no content).
type Found struct {
	Log     string
	Seq     uint64
	Entry   []byte
	Content []byte
}
