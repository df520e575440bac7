-- +goose Up

-- Requests of people about their data. While one is open it says of whom, encrypted; afterwards it does not.
CREATE TABLE requests (
    id             BYTEA   NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    caller         TEXT    NOT NULL UNIQUE,     -- the caller's own id: the same request comes once
    kind           TEXT    NOT NULL,            -- export, erasure, restriction
    state          TEXT    NOT NULL,
    wrapped        BIGINT  NOT NULL,            -- generation that identity is wrapped under
    identity       BYTEA   ,                    -- wrapped: tenant, user; NULL once the request has ended
    subject        BYTEA   ,                    -- pseudonym, once known
    options        TEXT    NOT NULL,            -- JSON
    verified_by    TEXT    NOT NULL DEFAULT '', -- who has checked the person's identity
    reason         TEXT    NOT NULL DEFAULT '', -- why it was refused, cancelled or waits
    result         TEXT    NOT NULL DEFAULT '', -- JSON
    received_micros BIGINT  NOT NULL,
    due_micros     BIGINT  NOT NULL,
    changed_micros BIGINT  NOT NULL,
    resume_micros  BIGINT  NOT NULL DEFAULT 0,  -- not before; 0: at once
    claimed_micros BIGINT  NOT NULL DEFAULT 0   -- somebody is at work on it until then
);
CREATE INDEX requests_state ON requests (state);
