ALTER TABLE events {on_cluster} ADD COLUMN IF NOT EXISTS distinct_id_hash UInt64 MATERIALIZED cityHash64(distinct_id)
