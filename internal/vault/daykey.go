package vault

import (
	"context"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// DayKey returns the keys of a day (UTC, "2026-11-20") and creates them if needed. ErrDestroyed when DestroyDayKeys has passed that day.
func (v *Vault) DayKey(ctx context.Context, day string) (gdpr.Keys, error) { return gdpr.Keys{}, nil }

// DestroyDayKeys deletes the keys of all days before the given one and returns how many there were.
func (v *Vault) DestroyDayKeys(ctx context.Context, before string) (int, error) { return 0, nil }
