-- +goose Up

-- Who of several processes does something alone. Time does not stand in it: who waits watches whether the beat changes.
CREATE TABLE turns (
    name   TEXT    NOT NULL PRIMARY KEY,
    holder BLOB    NOT NULL, -- random, of one process; empty: it was given back
    term   INTEGER NOT NULL, -- rises with each holder
    beat   INTEGER NOT NULL  -- rises with each sign of life
) STRICT;

-- What the detector has learned of a subject, an agent, a tenant or a producer. A version is valid once detector_snapshot names it or a later one; the rows of an
-- older one stay until then.
CREATE TABLE detector_states (
    id      BLOB    NOT NULL,
    version INTEGER NOT NULL,
    subject BLOB    CHECK (length(subject) = 16), -- NULL: it is about no person
    state   BLOB    NOT NULL,                     -- empty: there is none any more
    PRIMARY KEY (id, version)
) STRICT;
CREATE INDEX detector_states_subject ON detector_states (subject) WHERE subject IS NOT NULL;

-- One row: the last complete snapshot.
CREATE TABLE detector_snapshot (
    one     INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL,
    term    INTEGER NOT NULL, -- of the turn in which it was made
    places  TEXT    NOT NULL  -- JSON: from where each partition is to be read on
) STRICT;
INSERT INTO detector_snapshot (one, version, term, places) VALUES (1, 0, 0, '{}');
