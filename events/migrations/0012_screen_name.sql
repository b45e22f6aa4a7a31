ALTER TABLE events {on_cluster} ADD COLUMN IF NOT EXISTS `$screen_name` String MATERIALIZED JSONExtractString(properties, '$screen_name')
