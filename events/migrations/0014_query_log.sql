CREATE TABLE IF NOT EXISTS query_log {on_cluster}
(
    team_id Int64,
    query_id String,
    event_time DateTime64(6, 'UTC'),
    query_duration_ms UInt64,
    read_rows UInt64,
    read_bytes UInt64,
    result_rows UInt64,
    memory_usage UInt64,
    query String CODEC(ZSTD(3)),
    kind LowCardinality(String),
    name String,
    is_personal_api_key_request Bool,
    created_by Int64,
    exception_code Int32,
    status LowCardinality(String)
)
ENGINE = {engine_prefix}MergeTree
PARTITION BY toMonday(event_time)
ORDER BY (team_id, event_time, query_id)
TTL toDateTime(event_time) + toIntervalDay(90)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
