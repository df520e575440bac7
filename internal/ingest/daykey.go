package ingest

import (
	"context"
	"time"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// dayKeys holds the key under which today's rejected records are sealed. It belongs
// to one goroutine.
type dayKeys struct {
	vault *vault.Vault
	wait  patience
	day   string
	keys  gdpr.Prepared
}

// key returns the key of now's day in UTC. It asks the vault once a day, and again
// until it answers; it fails when ctx ends, or with errVault.
func (d *dayKeys) key(ctx context.Context, now time.Time) (*gdpr.Prepared, error) {
	var text [len(time.DateOnly)]byte
	if day := now.UTC().AppendFormat(text[:0], time.DateOnly); string(day) != d.day {
		var keys gdpr.Keys
		err := d.wait.ask(ctx, "key of the day", func() (err error) {
			keys, err = d.vault.DayKey(ctx, string(day))
			return err
		})
		if err != nil {
			return nil, err
		}
		d.keys.Wipe()
		d.keys, d.day = gdpr.Prepare(&keys), string(day)
		keys.Wipe()
	}
	return &d.keys, nil
}
