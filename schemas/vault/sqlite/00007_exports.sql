-- +goose Up

-- Archives of what there is about a person. An attempt at making one has a row before it has a file; a file without a row is removed by whoever sees it, and cannot be
-- read once its row is gone.
CREATE TABLE exports (
    request        BLOB    NOT NULL PRIMARY KEY CHECK (length(request) = 16),
    attempt        BLOB    NOT NULL UNIQUE CHECK (length(attempt) = 16), -- names the file; each attempt has another
    subject        BLOB    NOT NULL CHECK (length(subject) = 16),
    wrapped        INTEGER NOT NULL,           -- generation that secret is wrapped under
    secret         BLOB    ,                   -- wrapped: what opens the file; NULL: only the recipient whom the request names can
    ready          INTEGER NOT NULL DEFAULT 0, -- 1: the file is whole
    events         INTEGER NOT NULL DEFAULT 0, -- in the file so far
    total          INTEGER NOT NULL DEFAULT 0, -- that it will have
    expires_micros INTEGER NOT NULL DEFAULT 0  -- when file and row go; 0: it is not ready
) STRICT;
CREATE INDEX exports_subject ON exports (subject);

-- How many archives went with the person.
ALTER TABLE destroyed ADD COLUMN exports INTEGER NOT NULL DEFAULT 0;
