-- +goose Up

-- What a person has said last about a purpose. It goes with the person.
CREATE TABLE consents (
    subject      BYTEA   NOT NULL CHECK (length(subject) = 16),
    purpose      TEXT    NOT NULL,
    state        TEXT    NOT NULL, -- granted, withdrawn
    since_micros BIGINT  NOT NULL, -- when it became that
    changes      BIGINT  NOT NULL, -- how often the person has said something: the number of the last change
    PRIMARY KEY (subject, purpose)
);

-- All that was said, in order.
CREATE TABLE consent_changes (
    id        BYTEA   NOT NULL PRIMARY KEY CHECK (length(id) = 16), -- the same change comes once
    subject   BYTEA   NOT NULL CHECK (length(subject) = 16),
    purpose   TEXT    NOT NULL,
    number    BIGINT  NOT NULL, -- from 1 on, without gaps
    state     TEXT    NOT NULL,
    at_micros BIGINT  NOT NULL,
    reference BYTEA           , -- encrypted under a key that is derived from the person's; NULL: there is none
    UNIQUE (subject, purpose, number)
);
