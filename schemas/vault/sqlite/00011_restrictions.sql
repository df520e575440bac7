-- +goose Up

-- Whose data is restricted: shown to nobody but the data protection officer. It goes with the person.
CREATE TABLE restrictions (
    subject   BLOB    NOT NULL PRIMARY KEY CHECK (length(subject) = 16),
    request   BLOB    NOT NULL CHECK (length(request) = 16),
    at_micros INTEGER NOT NULL
) STRICT;
