CREATE TABLE IF NOT EXISTS person_property_updates {on_cluster}
(
    team_id Int64,
    distinct_id String,
    timestamp DateTime64(6, 'UTC'),
    ingested_at DateTime64(6, 'UTC'),
    uuid UUID,
    event String,
    generation UInt32,
    `set` String CODEC(ZSTD(1)),
    set_once String CODEC(ZSTD(1)),
    unset Array(String)
)
ENGINE = {engine_prefix}ReplacingMergeTree
ORDER BY (team_id, distinct_id, timestamp, ingested_at, uuid)
SETTINGS index_granularity = 512, non_replicated_deduplication_window = 10000
