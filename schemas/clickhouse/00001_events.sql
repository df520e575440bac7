-- +goose NO TRANSACTION
-- +goose Up

-- Entries of all logs, written once and never changed. docs/queries.md says what each column holds.
--
-- Processes that start at once all run these statements: each must be safe to repeat.
--
-- The partition is the scope of a deduplication token and the unit that retention drops; epoch follows from the log, not from a clock.
-- An insert becomes one file and not two hundred: wide parts begin at 128 MiB, which saves a third of its cost (50 columns, each synced to disk).
-- Merging costs as much as inserting, each time a row is merged: fewer and wider merges (16 parts instead of 5) save the engine a fifth of its work.
-- Hashes and ciphertext do not compress. Tokens and random ids are hex digits: ZSTD halves them, LZ4 does not.
CREATE TABLE IF NOT EXISTS {{.Database}}.events {{.OnCluster}}
(
    log               LowCardinality(String),
    seq               UInt64 CODEC(Delta, ZSTD(1)),
    epoch             UInt32 CODEC(ZSTD(1)),
    kind              Enum8('event' = 1, 'system' = 2, 'rejected' = 3, 'control' = 4),
    sealed_at         DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    kafka_offset      Int64 CODEC(Delta, ZSTD(1)),
    next_offset       Int64 CODEC(Delta, ZSTD(1)),
    record_time       DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    entry             String CODEC(ZSTD(1)),
    leaf_hash         FixedString(32) CODEC(NONE),
    content           String CODEC(NONE),
    content_alg       LowCardinality(String),
    content_key       Array(UUID) CODEC(ZSTD(1)),
    subject           UUID CODEC(ZSTD(1)),
    data_subjects     Array(UUID) CODEC(ZSTD(1)),
    approver          UUID CODEC(ZSTD(1)),
    session_id        String CODEC(ZSTD(1)),
    conversation_id   String CODEC(ZSTD(1)),
    ip                String CODEC(ZSTD(1)),
    resource_id       String CODEC(ZSTD(1)),
    threat            Enum8('none' = 0, 'low' = 1, 'medium' = 2, 'high' = 3, 'critical' = 4),
    findings          Array(LowCardinality(String)),
    event_id          UUID CODEC(NONE),
    time              DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    outcome           Enum8('' = 0, 'success' = 1, 'failure' = 2, 'denied' = 3, 'blocked' = 4, 'pending' = 5),
    tenant            LowCardinality(String),
    type              LowCardinality(String),
    action            LowCardinality(String),
    agent_id          LowCardinality(String),
    agent_name        LowCardinality(String),
    agent_version     LowCardinality(String),
    trace_id          String CODEC(ZSTD(1)),
    span_id           String CODEC(ZSTD(1)),
    tool              LowCardinality(String),
    tool_call_id      String CODEC(ZSTD(1)),
    provider          LowCardinality(String),
    model             LowCardinality(String),
    input_tokens      UInt64 CODEC(ZSTD(1)),
    output_tokens     UInt64 CODEC(ZSTD(1)),
    cost_usd          Float64 CODEC(ZSTD(1)),
    duration_ms       UInt64 CODEC(ZSTD(1)),
    resource_type     LowCardinality(String),
    rows              UInt64 CODEC(ZSTD(1)),
    error_type        LowCardinality(String),
    risk              LowCardinality(String),
    approval_decision LowCardinality(String),
    approval_policy   LowCardinality(String),
    producer_id       LowCardinality(String),
    producer_seq      UInt64 CODEC(Delta, ZSTD(1)),
    attributes        Map(String, String) CODEC(ZSTD(1)),

    INDEX by_time time TYPE minmax GRANULARITY 1,
    INDEX by_event_id event_id TYPE bloom_filter GRANULARITY 1,
    INDEX by_subject subject TYPE bloom_filter GRANULARITY 1,
    INDEX by_session_id session_id TYPE bloom_filter GRANULARITY 1,
    INDEX by_resource_id resource_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = {{.Engine "events"}}
PARTITION BY epoch
ORDER BY (log, seq)
SETTINGS
    non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_bytes_for_wide_part = 134217728,
    merge_selector_base = 16;

-- AssertFence shows by this table that tokens decide: settings as those of events, a row for each start of a writing process.
CREATE TABLE IF NOT EXISTS {{.Database}}.fence {{.OnCluster}}
(
    epoch UInt32,
    probe UUID,
    made  UInt8,
    at    DateTime DEFAULT now()
)
ENGINE = {{.Engine "fence"}}
PARTITION BY epoch
ORDER BY probe
TTL at + INTERVAL 1 DAY
SETTINGS
    non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;
