CREATE TABLE IF NOT EXISTS `groups` {on_cluster}
(
    team_id Int64,
    group_type_index UInt8,
    group_key String,
    created_at DateTime64(6, 'UTC'),
    properties String CODEC(ZSTD(3)),
    version UInt64
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
ORDER BY (team_id, group_type_index, group_key)
SETTINGS non_replicated_deduplication_window = 10000
-- next
CREATE TABLE IF NOT EXISTS ingestion_warnings {on_cluster}
(
    team_id Int64,
    source String,
    type String,
    details String CODEC(ZSTD(3)),
    timestamp DateTime64(6, 'UTC')
)
ENGINE = {engine_prefix}MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (team_id, timestamp)
TTL toDateTime(timestamp) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000
