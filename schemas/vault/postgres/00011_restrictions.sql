-- +goose Up

-- Whose data is restricted: shown to nobody but the data protection officer. It goes with the person.
CREATE TABLE restrictions (
    subject   BYTEA   NOT NULL PRIMARY KEY CHECK (length(subject) = 16),
    request   BYTEA   NOT NULL CHECK (length(request) = 16),
    at_micros BIGINT  NOT NULL
);
