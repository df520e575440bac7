-- +goose Up

-- What was dropped from logs, or is being dropped. A row comes first, then the record of it in the log, then what it names goes.
CREATE TABLE prunes (
    log         TEXT COLLATE "C" NOT NULL,
    what        TEXT    NOT NULL,                                -- entries or contents
    behind      BIGINT  NOT NULL,                                -- the first entry that is not concerned
    note        TEXT    NOT NULL,                                -- signed
    record      BYTEA   NOT NULL CHECK (length(record) = 16),    -- event id of the system record
    reason      TEXT COLLATE "C" NOT NULL,
    at_micros   BIGINT  NOT NULL,
    done_micros BIGINT  NOT NULL DEFAULT 0,                      -- 0: not finished
    PRIMARY KEY (log, what, behind)
);
