CREATE TABLE IF NOT EXISTS cohort_people {on_cluster}
(
    team_id Int64,
    cohort_id Int64,
    person_id UUID,
    is_deleted Bool,
    version UInt64
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
ORDER BY (team_id, cohort_id, person_id)
SETTINGS non_replicated_deduplication_window = 10000
