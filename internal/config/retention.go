package config

import (
	"strconv"
	"time"
)

// Retention says how long logs are kept. The exporter drops what is older, whole months at a time, each behind a signed record of what was there;
// "agentaudit log prune" does the same by hand.
type Retention struct {
	// EntriesMonths is how many whole months of entries are kept beside the present one; 0 to 1200, 0: for ever.
	EntriesMonths int `yaml:"entries_months"`
	// ContentsMonths is how many whole months of encrypted contents are kept beside the present one; 0 to 1200, 0: as long as their
	// entries.
	ContentsMonths int `yaml:"contents_months"`
	// CheckEvery is how often the exporter looks for what has become old; 1m to 720h.
	CheckEvery time.Duration `yaml:"check_every"`
	// ClickHouseUser is who deletes rows. Empty: clickhouse.user, who then needs that right.
	ClickHouseUser string `yaml:"clickhouse_user"`
	// ClickHousePasswordFile holds the user's password; a last line break is not part of it.
	ClickHousePasswordFile Path `yaml:"clickhouse_password_file"`
	// ClickHousePassword is read from the environment only: AGENTAUDIT_RETENTION__CLICKHOUSE_PASSWORD.
	ClickHousePassword Secret `yaml:"clickhouse_password"`
}

func defaultRetention() Retention { return Retention{CheckEvery: time.Hour} }

func (r *Retention) validate() error {
	for _, f := range []struct {
		key    string
		months int
	}{{"retention.entries_months", r.EntriesMonths}, {"retention.contents_months", r.ContentsMonths}} {
		if f.months < 0 || f.months > 1200 {
			return wrong(f.key, strconv.Itoa(f.months), "0 to 1200")
		}
	}
	if r.EntriesMonths > 0 && r.ContentsMonths > r.EntriesMonths {
		return wrong("retention.contents_months", strconv.Itoa(r.ContentsMonths), "no more than retention.entries_months")
	}
	return within("retention.check_every", r.CheckEvery, time.Minute, 720*time.Hour)
}
