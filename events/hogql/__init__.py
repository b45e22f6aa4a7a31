"""HogQL: PostHog's SQL on a project's own data, from text to ClickHouse and back."""
