-- +goose Up

-- What a person has said last about a purpose. It goes with the person.
CREATE TABLE consents (
    subject      BLOB    NOT NULL CHECK (length(subject) = 16),
    purpose      TEXT    NOT NULL,
    state        TEXT    NOT NULL, -- granted, withdrawn
    since_micros INTEGER NOT NULL, -- when it became that
    changes      INTEGER NOT NULL, -- how often the person has said something: the number of the last change
    PRIMARY KEY (subject, purpose)
) STRICT;

-- All that was said, in order.
CREATE TABLE consent_changes (
    id        BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16), -- the same change comes once
    subject   BLOB    NOT NULL CHECK (length(subject) = 16),
    purpose   TEXT    NOT NULL,
    number    INTEGER NOT NULL, -- from 1 on, without gaps
    state     TEXT    NOT NULL,
    at_micros INTEGER NOT NULL,
    reference BLOB            , -- encrypted under a key that is derived from the person's; NULL: there is none
    UNIQUE (subject, purpose, number)
) STRICT;
