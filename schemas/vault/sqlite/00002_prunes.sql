-- +goose Up

-- What was dropped from logs, or is being dropped. A row comes first, then the record of it in the log, then what it names goes.
CREATE TABLE prunes (
    log         TEXT    NOT NULL,
    what        TEXT    NOT NULL,                                -- entries or contents
    behind      INTEGER NOT NULL,                                -- the first entry that is not concerned
    note        TEXT    NOT NULL,                                -- signed
    record      BLOB    NOT NULL CHECK (length(record) = 16),    -- event id of the system record
    reason      TEXT    NOT NULL,
    at_micros   INTEGER NOT NULL,
    done_micros INTEGER NOT NULL DEFAULT 0,                      -- 0: not finished
    PRIMARY KEY (log, what, behind)
) STRICT;
