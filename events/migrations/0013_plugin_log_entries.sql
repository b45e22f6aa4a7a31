CREATE TABLE IF NOT EXISTS plugin_log_entries {on_cluster}
(
    id UUID,
    team_id Int64,
    plugin_id Int64,
    plugin_config_id Int64,
    timestamp DateTime64(6, 'UTC'),
    source LowCardinality(String),
    type LowCardinality(String),
    message String CODEC(ZSTD(3)),
    instance_id UUID
)
ENGINE = {engine_prefix}MergeTree
PARTITION BY toDate(timestamp)
ORDER BY (team_id, plugin_config_id, timestamp, id)
TTL toDateTime(timestamp) + toIntervalDay(7)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
