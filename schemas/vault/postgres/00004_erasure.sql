-- +goose Up

-- Who was erased, as far as that must be known so that late records do not bring them back: a keyed hash, no pseudonym and no key id.
CREATE TABLE suppressions (
    lookup         BYTEA   NOT NULL PRIMARY KEY CHECK (length(lookup) = 32),
    until_micros   BIGINT  NOT NULL,                                         -- events of this time and before are nobody's
    offsets        TEXT    NOT NULL,                                         -- JSON: by partition, records below are nobody's
    forever        BIGINT  NOT NULL,                                         -- 1: later events are nobody's too
    expires_micros BIGINT  NOT NULL                                          -- when the row may go, unless forever
);

-- What was destroyed. Shares no column with suppressions, so that nobody can join them.
CREATE TABLE destroyed (
    request   BYTEA   NOT NULL PRIMARY KEY CHECK (length(request) = 16),
    subject   BYTEA   NOT NULL CHECK (length(subject) = 16),
    key_id    BYTEA   NOT NULL CHECK (length(key_id) = 16),
    at_micros BIGINT  NOT NULL
);

-- Legal holds: whose data must not be destroyed for now.
CREATE TABLE holds (
    id             BYTEA   NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    subject        BYTEA   NOT NULL CHECK (length(subject) = 16),
    reason         TEXT    NOT NULL,
    author         TEXT    NOT NULL,
    at_micros      BIGINT  NOT NULL,
    expires_micros BIGINT  NOT NULL,          -- 0: until it is lifted
    lifted_micros  BIGINT  NOT NULL DEFAULT 0 -- 0: it is not
);
CREATE INDEX holds_subject ON holds (subject);
