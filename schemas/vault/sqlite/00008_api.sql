-- +goose Up

-- Keys of those who ask over HTTP. The key itself is not here.
CREATE TABLE api_keys (
    id             BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    hash           BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32), -- SHA-256 of the key
    role           TEXT    NOT NULL,
    tenant         TEXT    NOT NULL,           -- all that it sees; empty: everything
    name           TEXT    NOT NULL,           -- for people
    added_micros   INTEGER NOT NULL,
    expires_micros INTEGER NOT NULL,           -- 0: it does not
    revoked_micros INTEGER NOT NULL DEFAULT 0, -- 0: it is not
    used_micros    INTEGER NOT NULL DEFAULT 0  -- the hour in which it was last used; 0: never
) STRICT;

-- Of which tenant a request is, also once it has ended: keys of a tenant see its requests only. Empty: from before, and for keys without a limit.
ALTER TABLE requests ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
