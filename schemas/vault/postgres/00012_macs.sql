-- +goose Up

-- Rows that order something carry a MAC under a key that the keyring's holders have: whoever can only write to this database makes no such row. NULL: from before
-- this column; whoever opens the vault for the first time after that adds the MACs, once (deployment.secrets, which grows by the key, says that it is done).
ALTER TABLE requests ADD COLUMN mac BYTEA;
ALTER TABLE api_keys ADD COLUMN mac BYTEA;
ALTER TABLE authors ADD COLUMN mac BYTEA;
ALTER TABLE holds ADD COLUMN mac BYTEA;
ALTER TABLE exports ADD COLUMN mac BYTEA;
ALTER TABLE restrictions ADD COLUMN mac BYTEA;
ALTER TABLE consents ADD COLUMN mac BYTEA;
ALTER TABLE consent_changes ADD COLUMN mac BYTEA;
ALTER TABLE destroyed ADD COLUMN mac BYTEA;
ALTER TABLE outbox ADD COLUMN mac BYTEA;
