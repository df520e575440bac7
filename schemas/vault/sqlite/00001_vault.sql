-- +goose Up

-- One row: what this vault belongs to.
CREATE TABLE deployment (
    one        INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    name       TEXT    NOT NULL,
    generation INTEGER NOT NULL, -- of the key-encryption key that secrets and everything new are wrapped under
    secrets    BLOB    NOT NULL, -- wrapped: search key, look-up key
    days_kept  TEXT    NOT NULL, -- keys of days before this one were destroyed
    day_known  TEXT    NOT NULL  -- up to here time is known to have passed, whatever a clock says; empty before the first key of a day
) STRICT;

-- Generations of the key-encryption key that something may be wrapped under. The fingerprint tells a wrong keyring.
CREATE TABLE key_generations (
    generation  INTEGER NOT NULL PRIMARY KEY,
    fingerprint BLOB    NOT NULL
) STRICT;

-- People. Ids and hashes are random, so the table stays in the order of arrival (no WITHOUT ROWID) and only narrow indexes are written all over.
CREATE TABLE subjects (
    id       BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16), -- pseudonym
    lookup   BLOB    NOT NULL UNIQUE CHECK (length(lookup) = 32),  -- keyed hash of the person
    key_id   BLOB    NOT NULL UNIQUE CHECK (length(key_id) = 16),
    wrapped  INTEGER NOT NULL,                                     -- generation that keys and identity are wrapped under
    keys     BLOB    NOT NULL,                                     -- wrapped: content key, token key
    identity BLOB    NOT NULL                                      -- wrapped: tenant, user
) STRICT;

-- Finds what Rewrap has still to do. New rows go to its end.
CREATE INDEX subjects_wrapped ON subjects (wrapped);

-- Keys of the days, for records that could not be accepted.
CREATE TABLE day_keys (
    day     TEXT    NOT NULL PRIMARY KEY,
    key_id  BLOB    NOT NULL UNIQUE CHECK (length(key_id) = 16),
    wrapped INTEGER NOT NULL,
    keys    BLOB    NOT NULL
) STRICT;

-- One row: how many transactions have created or destroyed subjects. Each makes a random mark, so that a number that is reached again after the database
-- went back in time (a restored backup, a standby that missed commits) is not taken for the same state.
CREATE TABLE change_counter (
    one     INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    changes INTEGER NOT NULL,
    mark    BLOB    NOT NULL CHECK (length(mark) = 16)
) STRICT;
INSERT INTO change_counter (one, changes, mark) VALUES (1, 0, zeroblob(16));

-- The latest of these transactions, the newest always among them: caches follow them under their lease.
CREATE TABLE changes (
    change    INTEGER NOT NULL PRIMARY KEY, -- change_counter after this change
    mark      BLOB    NOT NULL CHECK (length(mark) = 16),
    subject   BLOB   ,                      -- who was destroyed; NULL: subjects were created
    at_micros INTEGER NOT NULL
) STRICT;
INSERT INTO changes (change, mark, subject, at_micros) VALUES (0, zeroblob(16), NULL, 0);

-- The latest checkpoint of each log.
CREATE TABLE checkpoints (
    log       TEXT    NOT NULL PRIMARY KEY,
    size      INTEGER NOT NULL,
    head      BLOB    NOT NULL CHECK (length(head) = 32), -- leaf hash of the last entry
    root      BLOB    NOT NULL CHECK (length(root) = 32), -- of the Merkle tree
    note      TEXT    NOT NULL,                           -- signed
    at_micros INTEGER NOT NULL
) STRICT;

-- Successors of reopened logs. A partition's first log has no row.
CREATE TABLE log_generations (
    topic            TEXT    NOT NULL,
    partition        INTEGER NOT NULL,
    generation       INTEGER NOT NULL CHECK (generation > 0),
    log              TEXT    NOT NULL UNIQUE,
    predecessor      TEXT    NOT NULL,
    predecessor_size INTEGER NOT NULL,
    predecessor_head BLOB    NOT NULL CHECK (length(predecessor_head) = 32),
    first_offset     INTEGER NOT NULL,
    reason           TEXT    NOT NULL,
    at_micros        INTEGER NOT NULL,
    PRIMARY KEY (topic, partition, generation)
) STRICT;

-- Who signs system records.
CREATE TABLE authors (
    name       TEXT NOT NULL PRIMARY KEY,
    public_key BLOB NOT NULL CHECK (length(public_key) = 32)
) STRICT;
