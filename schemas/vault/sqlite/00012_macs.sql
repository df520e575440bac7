-- +goose Up

-- Rows that order something carry a MAC under a key that the keyring's holders have: whoever can only write to this database makes no such row. NULL: from before
-- this column; whoever opens the vault for the first time after that adds the MACs, once (deployment.secrets, which grows by the key, says that it is done).
ALTER TABLE requests ADD COLUMN mac BLOB;
ALTER TABLE api_keys ADD COLUMN mac BLOB;
ALTER TABLE authors ADD COLUMN mac BLOB;
ALTER TABLE holds ADD COLUMN mac BLOB;
ALTER TABLE exports ADD COLUMN mac BLOB;
ALTER TABLE restrictions ADD COLUMN mac BLOB;
ALTER TABLE consents ADD COLUMN mac BLOB;
ALTER TABLE consent_changes ADD COLUMN mac BLOB;
ALTER TABLE destroyed ADD COLUMN mac BLOB;
ALTER TABLE outbox ADD COLUMN mac BLOB;
