"""The entries of a plugin's `config_schema`, and which of them are secret.

A schema is a list of `{"key", "name", "type", "required", "secret", ...}` or a mapping of keys to such entries. Plugins
of strangers bring them: what is no entry says nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any


def schema_entries(config_schema: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield keys and entries in their order; a key may come more than once."""
    if isinstance(config_schema, Mapping):
        yield from ((key, entry) for key, entry in config_schema.items() if isinstance(entry, Mapping))
    elif isinstance(config_schema, list | tuple):
        for entry in config_schema:
            if isinstance(entry, Mapping) and isinstance(entry.get("key"), str):
                yield entry["key"], entry


def secret_keys(config_schema: object) -> frozenset[str]:
    """Return the keys of the fields, files included, that nobody may see: those that any entry calls secret."""
    return frozenset(key for key, entry in schema_entries(config_schema) if entry.get("secret"))
