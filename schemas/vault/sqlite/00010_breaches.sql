-- +goose Up

-- Breaches of personal data. Whom one affects is not here: it is looked up in the log by the scope.
CREATE TABLE breaches (
    id              BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    reason          TEXT    NOT NULL,
    detected_micros INTEGER NOT NULL,
    due_micros      INTEGER NOT NULL,            -- when the authority must have been told
    opened_micros   INTEGER NOT NULL,
    scope           TEXT    NOT NULL,            -- JSON: which entries are affected
    entries         BLOB            ,            -- the ids of the affected events, 16 bytes each; NULL: scope says it all
    opening         TEXT    NOT NULL,            -- JSON: what was affected when it was opened
    notices         INTEGER NOT NULL DEFAULT 0,  -- how many there are
    closed_micros   INTEGER NOT NULL DEFAULT 0,  -- 0: it is open
    closed_why      TEXT    NOT NULL DEFAULT '',
    report          TEXT    NOT NULL DEFAULT ''  -- JSON, once it is closed
) STRICT;

-- Who was told of a breach.
CREATE TABLE breach_notices (
    breach    BLOB    NOT NULL CHECK (length(breach) = 16),
    number    INTEGER NOT NULL, -- from 1 on
    addressee TEXT    NOT NULL, -- authority, subjects
    reference TEXT    NOT NULL,
    at_micros INTEGER NOT NULL,
    PRIMARY KEY (breach, number)
) STRICT;
