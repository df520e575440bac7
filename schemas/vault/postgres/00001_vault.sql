-- +goose Up

-- One row: what this vault belongs to.
CREATE TABLE deployment (
    one        SMALLINT NOT NULL PRIMARY KEY CHECK (one = 1),
    name       TEXT COLLATE "C" NOT NULL,
    generation BIGINT  NOT NULL, -- of the key-encryption key that secrets and everything new are wrapped under
    secrets    BYTEA   NOT NULL, -- wrapped: search key, look-up key
    days_kept  TEXT COLLATE "C" NOT NULL, -- keys of days before this one were destroyed
    day_known  TEXT COLLATE "C" NOT NULL  -- up to here time is known to have passed, whatever a clock says; empty before the first key of a day
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

-- One row: how many transactions have created or destroyed subjects. Each makes a random mark, so that a number that is reached again after the database
-- went back in time (a restored backup, a standby that missed commits) is not taken for the same state.
CREATE TABLE change_counter (
    one     SMALLINT NOT NULL PRIMARY KEY CHECK (one = 1),
    changes BIGINT  NOT NULL,
    mark    BYTEA   NOT NULL CHECK (length(mark) = 16)
);
INSERT INTO change_counter (one, changes, mark) VALUES (1, 0, decode('00000000000000000000000000000000', 'hex'));

-- The latest of these transactions, the newest always among them: caches follow them under their lease.
CREATE TABLE changes (
    change    BIGINT  NOT NULL PRIMARY KEY, -- change_counter after this change
    mark      BYTEA   NOT NULL CHECK (length(mark) = 16),
    subject   BYTEA  ,                      -- who was destroyed; NULL: subjects were created
    at_micros BIGINT  NOT NULL
);
INSERT INTO changes (change, mark, subject, at_micros) VALUES (0, decode('00000000000000000000000000000000', 'hex'), NULL, 0);

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
