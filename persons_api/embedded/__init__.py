"""The local engines: PostgreSQL, Valkey and ClickHouse from wheels, and `manage.py up` that runs everything on them."""
