-- +goose Up

-- The latest checkpoint of each log that each witness has signed: where the next proof for it begins, and what is shown to those who ask.
CREATE TABLE cosigned (
    log       TEXT    NOT NULL,
    witness   TEXT    NOT NULL, -- name and id of its key
    size      INTEGER NOT NULL,
    note      TEXT    NOT NULL, -- the checkpoint with our signatures and the witness's
    at_micros INTEGER NOT NULL,
    PRIMARY KEY (log, witness)
) STRICT;
