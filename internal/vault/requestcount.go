package vault

import (
	"context"
	"database/sql"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// RequestCount is how many requests are of a kind and state, and when the first of them is due.
type RequestCount struct {
	Kind     gdpr.RequestKind
	State    gdpr.RequestState
	Requests uint64
	Due      time.Time
}

const countRequests = `SELECT kind, state, COUNT(*), MIN(due_micros) FROM requests GROUP BY kind, state ORDER BY kind, state`

// CountRequests counts the requests.
func (v *Vault) CountRequests(ctx context.Context) ([]RequestCount, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := collect(ctx, v.db.read, func(rows *sql.Rows, c *RequestCount) error {
		return rows.Scan(&c.Kind, &c.State, &c.Requests, microTime{&c.Due})
	}, countRequests)
	if err != nil {
		return nil, v.failed("count the requests", err)
	}
	return list, nil
}
