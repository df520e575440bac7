package store

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

func (s *Store) Query(ctx context.Context, sql, format string, w io.Writer) error {
	return fmt.Errorf("not ready")
}
func (s *Store) FindEvents(ctx context.Context, f Filter) ([]Found, error) { return nil, nil }
func (s *Store) AssertFence(ctx context.Context) error                     { return nil }

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
