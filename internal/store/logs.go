package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/ClickHouse/ch-go/proto"
)

// Logs returns the names of all logs that have an entry, ordered.
func (s *Store) Logs(ctx context.Context) ([]string, error) {
	logs, err := s.names(ctx, "SELECT DISTINCT CAST(log, 'String') AS name FROM "+s.events+" ORDER BY name FORMAT Native")
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	return logs, nil
}

// maxTenants bounds what Tenants returns.
const maxTenants = 100_000

// Tenants returns the names of all tenants that have an event, ordered; at most 100,000.
func (s *Store) Tenants(ctx context.Context) ([]string, error) {
	tenants, err := s.names(ctx, "SELECT DISTINCT CAST(tenant, 'String') AS name FROM "+s.events+" WHERE tenant != '' ORDER BY name LIMIT "+strconv.Itoa(maxTenants)+" FORMAT Native")
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	return tenants, nil
}

// names reads the column `name`.
func (s *Store) names(ctx context.Context, sql string) ([]string, error) {
	return s.texts(ctx, sql, params{})
}

// texts is names with parameters.
func (s *Store) texts(ctx context.Context, sql string, p params) ([]string, error) {
	var all []string
	err := s.read(ctx, func(at *server) error {
		var column proto.ColStr
		all = all[:0]
		return at.readNative(ctx, sql, s.readParams().with(p), proto.Results{{Name: "name", Data: &column}}, func(rows int) error {
			for i := range rows {
				all = append(all, column.Row(i))
			}
			return nil
		})
	})
	return all, err
}

// OpenedLogs returns the names of all logs that have an entry 0, ordered. Epoch 0 holds nothing else, so this reads one row a log however long the logs are.
func (s *Store) OpenedLogs(ctx context.Context) ([]string, error) {
	logs, err := s.names(ctx, "SELECT DISTINCT CAST(log, 'String') AS name FROM "+s.events+" WHERE epoch = 0 ORDER BY name FORMAT Native")
	if err != nil {
		return nil, fmt.Errorf("list opened logs: %w", err)
	}
	return logs, nil
}

// TableState returns a number that changes whenever rows come, go or are rewritten by SQL, and also when parts are merged. A change of files on disk behind
// ClickHouse's back does not show.
func (s *Store) TableState(ctx context.Context) (uint64, error) {
	const sql = "SELECT cityHash64(arraySort(groupArray(name))) AS state FROM system.parts " +
		"WHERE database = {database:String} AND table = 'events' AND active FORMAT Native"
	var state proto.ColUInt64
	err := s.read(ctx, func(at *server) error {
		p := s.readParams().with(params{"param_database": s.cfg.Database})
		return at.readNative(ctx, sql, p, proto.Results{{Name: "state", Data: &state}}, func(int) error { return nil })
	})
	if err != nil {
		return 0, fmt.Errorf("read the state of the table: %w", err)
	}
	if state.Rows() != 1 {
		return 0, fmt.Errorf("read the state of the table: %d rows instead of one", state.Rows())
	}
	return state.Row(0), nil
}
