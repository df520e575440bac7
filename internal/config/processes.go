package config

import (
	"strconv"
	"time"

	"github.com/agentaudit/agentaudit/internal/witness"
)

// Detector notices what is unusual and raises alerts. Of several detectors one is active, the others stand by.
type Detector struct {
	// Group is the consumer group under which the place of reading is committed, for lag tools; the place to continue at is in the vault.
	Group string `yaml:"group"`
	// AuthorKeyFile holds the key that signs the detector's own records in the logs: incidents. It is made by
	// "agentaudit keys create-author detector" or up; nobody else may have access to it.
	AuthorKeyFile Path `yaml:"author_key_file"`
	// AlertsTopic is where incidents go, as JSON keyed by their id. Whoever may write it can make up alerts in Slack; what stands in the log is signed.
	AlertsTopic string  `yaml:"alerts_topic"`
	Slack       Slack   `yaml:"slack"`
	Webhook     Webhook `yaml:"webhook"`
	// SnapshotEvery is how often what was learned is stored in the vault; after a crash that much is read again. 1s to 1h.
	SnapshotEvery time.Duration `yaml:"snapshot_every"`
	// TakeOver is after how long without a sign of life another detector takes over; 1s to 1m.
	TakeOver time.Duration `yaml:"take_over"`
	// MaxCached is how many people's pseudonyms are kept in memory, about 212 bytes each; 8192 to 100000000.
	MaxCached int `yaml:"max_cached"`
	// RulesFile holds rules of your own, beside or in place of the built-in ones (docs/detection.md). It is looked at every few seconds; an invalid one is refused
	// and the old rules stay. Empty: the built-in ones.
	RulesFile Path `yaml:"rules_file"`
	// Threshold is how surprising what a user does must be to be alerted: −log10 of the share of users' days that hold as much by chance, so 1.7 is 1 in 50 and 3 is
	// 1 in 1,000. More: fewer alerts, and what is small is missed. Rules, gaps in numbers and silent producers do not depend on it. 1 to 6.
	Threshold float64 `yaml:"threshold"`
	// LearnDays is for how many days a tenant's baselines are only learned. Rules and silent producers speak at once. 0 to 60.
	LearnDays int `yaml:"learn_days"`
	// AlertsPerDay is how many incidents of a tenant are alerted by themselves on one day (UTC); what exceeds it is counted in the day's digest. Critical ones
	// have ten times that, and at least 500. 1 to 10000.
	AlertsPerDay int `yaml:"alerts_per_day"`
	// MemoryLimit is what the Go heap is kept below, as ingest.memory_limit.
	MemoryLimit ByteSize `yaml:"memory_limit"`
}

// Exporter checks sealed entries again, signs checkpoints, serves the logs and sends heartbeats.
type Exporter struct {
	// AuthorKeyFile holds the key that signs the exporter's own records in the logs, such as heartbeats. It is made by
	// "agentaudit keys create-author" or up; nobody else may have access to it.
	AuthorKeyFile Path `yaml:"author_key_file"`
	// SigningKeys is the folder with the keys that sign checkpoints: each private key in it signs. "agentaudit keys rotate" makes
	// the next one, and up or setup the first; nobody else may have access to it.
	SigningKeys Path `yaml:"signing_keys"`
	// CheckpointTopic is where signed checkpoints go.
	CheckpointTopic string `yaml:"checkpoint_topic"`
	// RepublishEvery is how often checkpoints that have not moved are published again, and how soon other keys sign; 1s to 1h.
	RepublishEvery time.Duration `yaml:"republish_every"`
	// CheckPublished has checkpoint_topic read at the start, and no checkpoint signed before that: a vault that is behind what was
	// published was restored from a backup, and its logs wait for an operator. Off, that is not noticed.
	CheckPublished bool `yaml:"check_published"`
	// PublicTiles serves the logs (checkpoints, tiles, entries) to everybody who can reach http.exporter. Entries name no
	// person, but tenants, agents, tools and costs.
	PublicTiles bool `yaml:"public_tiles"`
	// PollEvery is how often ClickHouse is asked whether the table has changed; checkpoints are behind by that and a few
	// queries. 10ms to 10s.
	PollEvery time.Duration `yaml:"poll_every"`
	// RecheckEvery is how often what lies behind a log's checkpoint is checked again, from the first entry on; 1s to 720h.
	RecheckEvery time.Duration `yaml:"recheck_every"`
	// RecheckRate is how many entries a second are checked again, over all logs together: 40000 take about a seventh of one
	// core, ClickHouse's part included, and an hour for 144 million entries. 100 to 10000000.
	RecheckRate int `yaml:"recheck_rate"`
	// HeartbeatEvery is how often a signed record says that the logs live; 1s to 1h.
	HeartbeatEvery time.Duration `yaml:"heartbeat_every"`
	// Witnesses are asked to sign each log's checkpoint too, so that whoever trusts them knows that everybody is shown one
	// history (C2SP tlog-witness). Each is its URL, a space and its public key, "https://witness.example w.example+1234abcd+BASE64";
	// 16 at most. Each must be told of every log.
	Witnesses []string `yaml:"witnesses"`
	// WitnessRequired lets nothing new be signed after a start before every witness has signed what was there. Without it a
	// witness that is away is not waited for.
	WitnessRequired bool `yaml:"witness_required"`
	// CheckpointDir is a folder to which each log's latest checkpoint is written, as TOPIC/PARTITION/checkpoint. Empty: none.
	CheckpointDir Path `yaml:"checkpoint_dir"`
	// GDPR is how people's requests come in.
	GDPR GDPR `yaml:"gdpr"`
	// ExportDir is a folder for archives of people's data ("agentaudit gdpr export"), each encrypted; nobody else needs access to it. Several
	// exporters share it, or an archive is found on the machine only that made it. Empty: such requests are refused.
	ExportDir Path `yaml:"export_dir"`
	// ExportKeep is how long an archive can be fetched before it is removed; 1m to 720h.
	ExportKeep time.Duration `yaml:"export_keep"`
	// MemoryLimit is what the Go heap is kept below, as ingest.memory_limit.
	MemoryLimit ByteSize `yaml:"memory_limit"`
}

func defaultDetector() Detector {
	return Detector{
		Group: "agentaudit-detector", AuthorKeyFile: "detector.key", AlertsTopic: "agent.alerts", SnapshotEvery: 30 * time.Second, TakeOver: 6 * time.Second, MaxCached: 1_000_000,
		Threshold: 1.7, LearnDays: 4, AlertsPerDay: 50, Slack: defaultSlack(),
	}
}

func defaultExporter() Exporter {
	return Exporter{
		AuthorKeyFile: "exporter.key", SigningKeys: "checkpoint-keys", CheckpointTopic: "audit.checkpoints", RepublishEvery: time.Minute, CheckPublished: true,
		PollEvery: 500 * time.Millisecond, RecheckEvery: time.Hour, RecheckRate: 40_000, HeartbeatEvery: time.Minute,
		GDPR:       defaultGDPR(),
		ExportKeep: 7 * 24 * time.Hour,
	}
}

func (d *Detector) validate() error {
	if d.Group == "" {
		return wrong("detector.group", "", "a name")
	}
	if d.AuthorKeyFile == "" {
		return wrong("detector.author_key_file", "", "a file")
	}
	if !topicName.MatchString(d.AlertsTopic) || d.AlertsTopic == "." || d.AlertsTopic == ".." {
		return wrong("detector.alerts_topic", d.AlertsTopic, "1 to 200 letters, digits, dots, underscores and hyphens")
	}
	return first(
		d.Slack.validate,
		d.Webhook.validate,
		func() error { return within("detector.snapshot_every", d.SnapshotEvery, time.Second, time.Hour) },
		func() error { return within("detector.take_over", d.TakeOver, time.Second, time.Minute) },
		func() error { return between("detector.max_cached", d.MaxCached, 8192, 100_000_000) },
		func() error { return numbered("detector.threshold", d.Threshold, 1, 6) },
		func() error { return between("detector.learn_days", d.LearnDays, 0, 60) },
		func() error { return between("detector.alerts_per_day", d.AlertsPerDay, 1, 10_000) },
		func() error { return memoryLimit("detector.memory_limit", d.MemoryLimit) },
	)
}

func (e *Exporter) validate() error {
	if e.AuthorKeyFile == "" {
		return wrong("exporter.author_key_file", "", "a file")
	}
	if e.SigningKeys == "" {
		return wrong("exporter.signing_keys", "", "a folder")
	}
	if e.CheckpointTopic == "" {
		return wrong("exporter.checkpoint_topic", "", "a topic")
	}
	return first(
		func() error { return within("exporter.republish_every", e.RepublishEvery, time.Second, time.Hour) },
		func() error { return within("exporter.poll_every", e.PollEvery, 10*time.Millisecond, 10*time.Second) },
		func() error { return within("exporter.recheck_every", e.RecheckEvery, time.Second, 720*time.Hour) },
		func() error { return between("exporter.recheck_rate", e.RecheckRate, 100, 10_000_000) },
		func() error { return within("exporter.heartbeat_every", e.HeartbeatEvery, time.Second, time.Hour) },
		e.GDPR.validate,
		func() error { return within("exporter.export_keep", e.ExportKeep, time.Minute, 720*time.Hour) },
		func() error { return memoryLimit("exporter.memory_limit", e.MemoryLimit) },
	)
}

// maxWitnesses bounds what is asked for each checkpoint, and the size of one that all have signed.
const maxWitnesses = 16

// validateWitnesses checks the list. A witness with the deployment's name would vouch for the logs as if it were the deployment.
func (e *Exporter) validateWitnesses(deployment string) error {
	const key = "exporter.witnesses"
	if len(e.Witnesses) > maxWitnesses {
		return wrong(key, strconv.Itoa(len(e.Witnesses))+" witnesses", "16 witnesses at most")
	}
	known := map[string]bool{}
	for i, text := range e.Witnesses {
		w, err := witness.Parse(text)
		switch {
		case err != nil:
			// Not the text: who writes a password into a URL does not want to read it here.
			return wrong(key, "number "+strconv.Itoa(i+1), `a URL without user, a space and the public key of a witness: "https://witness.example w.example+1234abcd+BASE64"`)
		case w.Name() == deployment:
			return wrong(key, text, "a witness of another name than the deployment")
		case known[w.Key()]:
			return wrong(key, text, "listed once")
		}
		known[w.Key()] = true
	}
	if e.WitnessRequired && len(e.Witnesses) == 0 {
		return wrong("exporter.witness_required", "true", "false as long as exporter.witnesses is empty")
	}
	return nil
}
