-- +goose Up

-- Breaches of personal data. Whom one affects is not here: it is looked up in the log by the scope.
CREATE TABLE breaches (
    id              BYTEA   NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    reason          TEXT    NOT NULL,
    detected_micros BIGINT  NOT NULL,
    due_micros      BIGINT  NOT NULL,            -- when the authority must have been told
    opened_micros   BIGINT  NOT NULL,
    scope           TEXT    NOT NULL,            -- JSON: which entries are affected
    entries         BYTEA           ,            -- the ids of the affected events, 16 bytes each; NULL: scope says it all
    opening         TEXT    NOT NULL,            -- JSON: what was affected when it was opened
    notices         BIGINT  NOT NULL DEFAULT 0,  -- how many there are
    closed_micros   BIGINT  NOT NULL DEFAULT 0,  -- 0: it is open
    closed_why      TEXT    NOT NULL DEFAULT '',
    report          TEXT    NOT NULL DEFAULT ''  -- JSON, once it is closed
);

-- Who was told of a breach.
CREATE TABLE breach_notices (
    breach    BYTEA   NOT NULL CHECK (length(breach) = 16),
    number    BIGINT  NOT NULL, -- from 1 on
    addressee TEXT    NOT NULL, -- authority, subjects
    reference TEXT    NOT NULL,
    at_micros BIGINT  NOT NULL,
    PRIMARY KEY (breach, number)
);
