-- +goose Up

-- The latest checkpoint of each log that each witness has signed: where the next proof for it begins, and what is shown to those who ask.
CREATE TABLE cosigned (
    log       TEXT COLLATE "C" NOT NULL,
    witness   TEXT COLLATE "C" NOT NULL, -- name and id of its key
    size      BIGINT NOT NULL,
    note      TEXT   NOT NULL,           -- the checkpoint with our signatures and the witness's
    at_micros BIGINT NOT NULL,
    PRIMARY KEY (log, witness)
);
