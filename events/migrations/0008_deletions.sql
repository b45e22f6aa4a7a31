CREATE TABLE IF NOT EXISTS deletion_keys {on_cluster}
(
    run_id UUID,
    request_id Int64,
    kind Enum8('events' = 0, 'recordings' = 1),
    team_id Int64,
    distinct_id String,
    generation UInt32,
    deleted_generation Int64,
    until DateTime64(6, 'UTC')
)
ENGINE = {engine_prefix}MergeTree
PARTITION BY run_id
ORDER BY (team_id, distinct_id)
SETTINGS non_replicated_deduplication_window = 1000
-- next
CREATE TABLE IF NOT EXISTS deletion_persons {on_cluster}
(
    run_id UUID,
    request_id Int64,
    team_id Int64,
    person_id UUID,
    version UInt64
)
ENGINE = {engine_prefix}MergeTree
PARTITION BY run_id
ORDER BY (team_id, person_id)
SETTINGS non_replicated_deduplication_window = 1000
-- next
CREATE TABLE IF NOT EXISTS deletion_targets {on_cluster}
(
    run_id UUID,
    place LowCardinality(String),
    request_id Int64,
    row_hash FixedString(16),
    team_id Int64,
    distinct_id String
)
ENGINE = {engine_prefix}MergeTree
PARTITION BY run_id
ORDER BY (place, request_id)
SETTINGS non_replicated_deduplication_window = 1000
