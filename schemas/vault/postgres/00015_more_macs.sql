-- +goose Up

-- The other rows that decide something carry a MAC too (see 00012_macs.sql). deployment.secrets says by its last byte that those of this version have theirs.
ALTER TABLE suppressions ADD COLUMN mac BYTEA;
ALTER TABLE log_generations ADD COLUMN mac BYTEA;
ALTER TABLE breaches ADD COLUMN mac BYTEA;
ALTER TABLE breach_notices ADD COLUMN mac BYTEA;
ALTER TABLE detector_states ADD COLUMN mac BYTEA;
ALTER TABLE detector_snapshot ADD COLUMN mac BYTEA;
ALTER TABLE notices ADD COLUMN mac BYTEA;
ALTER TABLE notice_posts ADD COLUMN mac BYTEA;
