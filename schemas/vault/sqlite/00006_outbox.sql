-- +goose Up

-- What is yet to be said in the log about changes in this database: written in their transaction, deleted once it is sealed.
CREATE TABLE outbox (
    event_id       BLOB    NOT NULL PRIMARY KEY CHECK (length(event_id) = 16),
    at_micros      INTEGER NOT NULL,
    record         TEXT    NOT NULL,           -- JSON; names nobody
    claimed_micros INTEGER NOT NULL DEFAULT 0  -- somebody is about to say it until then
) STRICT;
CREATE INDEX outbox_at ON outbox (at_micros, event_id);
