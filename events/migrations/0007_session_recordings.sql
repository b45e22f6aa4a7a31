CREATE TABLE IF NOT EXISTS session_recordings {on_cluster}
(
    team_id Int64,
    session_id String,
    window_id String,
    distinct_id String,
    generation UInt32,
    uuid UUID,
    source LowCardinality(String),
    first_timestamp DateTime64(3, 'UTC'),
    last_timestamp DateTime64(3, 'UTC'),
    event_count UInt32,
    click_count UInt32,
    keypress_count UInt32,
    size UInt64,
    blob_key String,
    created_at DateTime64(6, 'UTC')
)
ENGINE = {engine_prefix}ReplacingMergeTree(created_at)
ORDER BY (team_id, session_id, uuid)
SETTINGS non_replicated_deduplication_window = 10000
-- next
CREATE TABLE IF NOT EXISTS session_recording_blobs {on_cluster}
(
    team_id Int64,
    session_id String,
    uuid UUID,
    distinct_id String,
    generation UInt32,
    created_at DateTime64(6, 'UTC'),
    lines String CODEC(ZSTD(3))
)
ENGINE = {engine_prefix}ReplacingMergeTree(created_at)
ORDER BY (team_id, session_id, uuid)
SETTINGS index_granularity = 64, non_replicated_deduplication_window = 10000
