CREATE TABLE IF NOT EXISTS person_property_values {on_cluster}
(
    team_id Int64,
    key String,
    value String,
    persons Int64
)
ENGINE = {engine_prefix}SummingMergeTree(persons)
ORDER BY (team_id, key, value)
SETTINGS non_replicated_deduplication_window = 10000
-- next
CREATE TABLE IF NOT EXISTS person_property_values_rebuild {on_cluster}
(
    run UUID,
    team_id Int64,
    key String,
    value String,
    persons Int64
)
ENGINE = {engine_prefix}SummingMergeTree(persons)
ORDER BY (run, team_id, key, value)
SETTINGS non_replicated_deduplication_window = 10000
