-- +goose Up

-- Whose data is restricted: shown to nobody but the data protection officer. Rows stay when it is over, and go with the person.
CREATE TABLE restrictions (
    request       BLOB    NOT NULL PRIMARY KEY CHECK (length(request) = 16),
    subject       BLOB    NOT NULL CHECK (length(subject) = 16),
    at_micros     INTEGER NOT NULL,
    lifted_micros INTEGER NOT NULL DEFAULT 0 -- 0: it is not
) STRICT;
CREATE INDEX restrictions_subject ON restrictions (subject);
