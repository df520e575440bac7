-- +goose Up

-- Who of several processes does something alone. Time does not stand in it: who waits watches whether the beat changes.
CREATE TABLE turns (
    name   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder BYTEA   NOT NULL, -- random, of one process; empty: it was given back
    term   BIGINT  NOT NULL, -- rises with each holder
    beat   BIGINT  NOT NULL  -- rises with each sign of life
);

-- What the detector has learned of a subject, an agent, a tenant or a producer. A version is valid once detector_snapshot names it or a later one; the rows of an
-- older one stay until then.
CREATE TABLE detector_states (
    id      BYTEA   NOT NULL,
    version BIGINT  NOT NULL,
    subject BYTEA   CHECK (length(subject) = 16), -- NULL: it is about no person
    state   BYTEA   NOT NULL,                     -- empty: there is none any more
    PRIMARY KEY (id, version)
);
CREATE INDEX detector_states_subject ON detector_states (subject) WHERE subject IS NOT NULL;

-- One row: the last complete snapshot.
CREATE TABLE detector_snapshot (
    one     SMALLINT NOT NULL PRIMARY KEY CHECK (one = 1),
    version BIGINT  NOT NULL,
    term    BIGINT  NOT NULL, -- of the turn in which it was made
    places  TEXT    NOT NULL  -- JSON: from where each partition is to be read on
);
INSERT INTO detector_snapshot (one, version, term, places) VALUES (1, 0, 0, '{}');
