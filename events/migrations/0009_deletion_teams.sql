CREATE TABLE IF NOT EXISTS deletion_teams {on_cluster}
(
    run_id UUID,
    request_id Int64,
    team_id Int64
)
ENGINE = {engine_prefix}MergeTree
PARTITION BY run_id
ORDER BY team_id
SETTINGS non_replicated_deduplication_window = 1000
