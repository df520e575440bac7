-- +goose Up

-- Whose data is restricted: shown to nobody but the data protection officer. Rows stay when it is over, and go with the person.
CREATE TABLE restrictions (
    request       BYTEA   NOT NULL PRIMARY KEY CHECK (length(request) = 16),
    subject       BYTEA   NOT NULL CHECK (length(subject) = 16),
    at_micros     BIGINT  NOT NULL,
    lifted_micros BIGINT  NOT NULL DEFAULT 0 -- 0: it is not
);
CREATE INDEX restrictions_subject ON restrictions (subject);
