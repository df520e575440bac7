-- +goose Up

-- One row: what this vault belongs to.
CREATE TABLE deployment (
    one        SMALLINT NOT NULL PRIMARY KEY CHECK (one = 1),
    name       TEXT COLLATE "C" NOT NULL,
    generation BIGINT  NOT NULL, -- of the key-encryption key that secrets and everything new are wrapped under
    secrets    BYTEA   NOT NULL, -- wrapped: search key, look-up key
    days_kept  TEXT COLLATE "C" NOT NULL  -- keys of days before this one were destroyed
);

-- Generations of the key-encryption key that something may be wrapped under. The fingerprint tells a wrong keyring.
CREATE TABLE key_generations (
    generation  BIGINT  NOT NULL PRIMARY KEY,
    fingerprint BYTEA   NOT NULL
);

-- People.
CREATE TABLE subjects (
    id       BYTEA   NOT NULL PRIMARY KEY CHECK (length(id) = 16), -- pseudonym
    lookup   BYTEA   NOT NULL UNIQUE CHECK (length(lookup) = 32),  -- keyed hash of the person
    key_id   BYTEA   NOT NULL UNIQUE CHECK (length(key_id) = 16),
    wrapped  BIGINT  NOT NULL,                                     -- generation that keys and identity are wrapped under
    keys     BYTEA   NOT NULL,                                     -- wrapped: content key, token key
    identity BYTEA   NOT NULL                                      -- wrapped: tenant, user
);

-- Finds what Rewrap has still to do. New rows go to its end.
CREATE INDEX subjects_wrapped ON subjects (wrapped);

-- Keys of the days, for records that could not be accepted.
CREATE TABLE day_keys (
    day     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    key_id  BYTEA   NOT NULL UNIQUE CHECK (length(key_id) = 16),
    wrapped BIGINT  NOT NULL,
    keys    BYTEA   NOT NULL
);

-- One row: how many subjects were ever destroyed. Caches ask for it under their lease.
CREATE TABLE change_counter (
    one     SMALLINT NOT NULL PRIMARY KEY CHECK (one = 1),
    changes BIGINT  NOT NULL
);
INSERT INTO change_counter (one, changes) VALUES (1, 0);

-- The latest destroyed subjects, so that caches drop these and keep the rest.
CREATE TABLE changes (
    change    BIGINT  NOT NULL PRIMARY KEY, -- change_counter after this change
    subject   BYTEA   NOT NULL,
    at_micros BIGINT  NOT NULL
);

-- The latest checkpoint of each log.
CREATE TABLE checkpoints (
    log       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    size      BIGINT  NOT NULL,
    head      BYTEA   NOT NULL CHECK (length(head) = 32), -- leaf hash of the last entry
    root      BYTEA   NOT NULL CHECK (length(root) = 32), -- of the Merkle tree
    note      TEXT    NOT NULL,                           -- signed
    at_micros BIGINT  NOT NULL
);

-- Successors of reopened logs. A partition's first log has no row.
CREATE TABLE log_generations (
    topic            TEXT COLLATE "C" NOT NULL,
    partition        BIGINT  NOT NULL,
    generation       BIGINT  NOT NULL CHECK (generation > 0),
    log              TEXT COLLATE "C" NOT NULL UNIQUE,
    predecessor      TEXT COLLATE "C" NOT NULL,
    predecessor_size BIGINT  NOT NULL,
    predecessor_head BYTEA   NOT NULL CHECK (length(predecessor_head) = 32),
    first_offset     BIGINT  NOT NULL,
    reason           TEXT COLLATE "C" NOT NULL,
    at_micros        BIGINT  NOT NULL,
    PRIMARY KEY (topic, partition, generation)
);

-- Who signs system records.
CREATE TABLE authors (
    name       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    public_key BYTEA NOT NULL CHECK (length(public_key) = 32)
);
