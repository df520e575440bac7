-- +goose Up

-- Who was erased, as far as that must be known so that late records do not bring them back: a keyed hash, no pseudonym and no key id.
CREATE TABLE suppressions (
    lookup         BLOB    NOT NULL PRIMARY KEY CHECK (length(lookup) = 32),
    until_micros   INTEGER NOT NULL,                                         -- events of this time and before are nobody's
    offsets        TEXT    NOT NULL,                                         -- JSON: by partition, records below are nobody's
    forever        INTEGER NOT NULL,                                         -- 1: later events are nobody's too
    expires_micros INTEGER NOT NULL                                          -- when the row may go, unless forever
) STRICT;

-- What was destroyed. Shares no column with suppressions, so that nobody can join them.
CREATE TABLE destroyed (
    request   BLOB    NOT NULL PRIMARY KEY CHECK (length(request) = 16),
    subject   BLOB    NOT NULL CHECK (length(subject) = 16),
    key_id    BLOB    NOT NULL CHECK (length(key_id) = 16),
    at_micros INTEGER NOT NULL
) STRICT;

-- Legal holds: whose data must not be destroyed for now.
CREATE TABLE holds (
    id             BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    subject        BLOB    NOT NULL CHECK (length(subject) = 16),
    reason         TEXT    NOT NULL,
    author         TEXT    NOT NULL,
    at_micros      INTEGER NOT NULL,
    expires_micros INTEGER NOT NULL,          -- 0: until it is lifted
    lifted_micros  INTEGER NOT NULL DEFAULT 0 -- 0: it is not
) STRICT;
CREATE INDEX holds_subject ON holds (subject);
