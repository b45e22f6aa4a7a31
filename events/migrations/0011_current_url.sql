ALTER TABLE events {on_cluster} ADD COLUMN IF NOT EXISTS `$current_url` String MATERIALIZED JSONExtractString(properties, '$current_url')
