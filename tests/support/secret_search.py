"""Searches what a server shows and stores for secrets, in every form in which they may have been written."""

import base64
from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any
from urllib.parse import quote

from django.db import connection


def postgres_texts() -> dict[str, str]:
    """Return every table of Postgres as text; bytes are there in hexadecimal."""
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            with cursor.copy(f'COPY "{table}" TO STDOUT') as copied:  # type: ignore[attr-defined]  # psycopg's
                found[table] = "".join(bytes(row).decode() for row in copied)
    return found


def clickhouse_text(client: ModuleType) -> str:
    tables = [
        name for (name,) in client.query("SELECT name FROM system.tables WHERE database = currentDatabase()").rows
    ]
    rows = {name: client.query("SELECT * FROM {name:Identifier}", {"name": name}).rows for name in tables}
    return repr(rows)


def broker_text(valkey: Any) -> str:
    return repr([(key, valkey.dump(key)) for key in valkey.keys("*")])


def forms(value: str) -> set[str]:
    """Return how a secret may be written: as it is, in hexadecimal, and in base64 at each of its three alignments."""
    raw = value.encode()
    encoded = {base64.b64encode(b"\0" * shift + raw).decode()[shift + 1 : -4] for shift in range(3)}
    return {value, quote(value), raw.hex(), *encoded}


def leaks(secrets: Mapping[str, str], places: Mapping[str, str], *, but: Collection[str] = ()) -> list[str]:
    """Say which secret, given by what it is, is seen where, with what stands around it."""
    found = []
    for name, value in secrets.items():
        if name in but:
            continue
        for form in forms(value):
            for place, text in places.items():
                at = text.find(form)
                if at >= 0:
                    found.append(f"{name} in {place}: {text[max(0, at - 160) : at + 60]!r}")
    return found
