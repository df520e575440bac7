-- +goose NO TRANSACTION
-- +goose Up

-- Full tiles of the logs' Merkle trees, which proofs are made of. They are kept when entries are pruned. A tile follows from its entries, so writing one
-- again changes nothing, and equal rows are merged. A row is 8 KiB: with granules of 16 rows one tile is found without reading much more.
CREATE TABLE IF NOT EXISTS {{.Database}}.tiles {{.OnCluster}}
(
    log    LowCardinality(String),
    level  UInt8,
    tile   UInt64 CODEC(Delta, ZSTD(1)),
    hashes String CODEC(NONE),          -- 256 of 32 bytes: leaf hashes at level 0, else the roots of the tiles below
    root   FixedString(32) CODEC(NONE)  -- of hashes
)
ENGINE = {{.Replacing "tiles"}}
ORDER BY (log, level, tile, cityHash64(hashes))
SETTINGS
    index_granularity = 16,
    fsync_after_insert = 1,
    fsync_part_directory = 1;
