CREATE TABLE IF NOT EXISTS persons {on_cluster}
(
    id UUID,
    team_id Int64,
    created_at DateTime64(6, 'UTC'),
    properties String CODEC(ZSTD(3)),
    is_identified Bool,
    is_deleted Bool,
    version UInt64
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
ORDER BY (team_id, id)
SETTINGS non_replicated_deduplication_window = 10000
-- next
CREATE TABLE IF NOT EXISTS person_distinct_ids {on_cluster}
(
    team_id Int64,
    distinct_id String,
    person_id UUID,
    is_deleted Bool,
    version UInt64,
    generation UInt32
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
ORDER BY (team_id, distinct_id)
SETTINGS index_granularity = 512, non_replicated_deduplication_window = 10000
-- next
CREATE TABLE IF NOT EXISTS person_distinct_id_overrides {on_cluster}
(
    team_id Int64,
    distinct_id String,
    person_id UUID,
    is_deleted Bool,
    version UInt64,
    generation UInt32
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
ORDER BY (team_id, distinct_id)
SETTINGS index_granularity = 512, non_replicated_deduplication_window = 10000
