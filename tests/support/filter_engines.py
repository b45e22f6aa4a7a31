"""One filter over many stored values, in each engine with one statement."""

from collections.abc import Sequence
from typing import Any

import orjson
from django.db import connection

from core.filters import postgres
from events import client
from events.filters import clickhouse
from events.filters.grammar import Filter
from tests.support.filter_oracle import matches

type Properties = Sequence[dict[str, Any]]


def in_postgres(wanted: Filter, stored: Properties) -> list[bool]:
    parameters: dict[str, Any] = {"stored": [orjson.dumps(one).decode() for one in stored]}
    condition = postgres.condition(wanted, parameters)
    sql = (
        f"SELECT {condition} FROM (SELECT document::jsonb, n"  # noqa: S608 the compiler's own text
        " FROM unnest(%(stored)s::text[]) WITH ORDINALITY AS u(document, n)) AS p(properties, id) ORDER BY id"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [row[0] for row in cursor.fetchall()]


def in_clickhouse(wanted: Filter, stored: Properties) -> list[bool]:
    parameters: dict[str, Any] = {"stored": [orjson.dumps(one).decode() for one in stored], "team_id": 1}
    condition = clickhouse.condition(wanted, parameters, properties="properties")
    sql = (
        f"SELECT {condition} FROM (SELECT document AS properties, number AS n"  # noqa: S608 the compiler's own text
        " FROM (SELECT {stored:Array(String)} AS documents)"
        " ARRAY JOIN documents AS document, arrayEnumerate(documents) AS number) ORDER BY n"
    )
    return [bool(row[0]) if row[0] is not None else None for row in client.query(sql, parameters).rows]  # type: ignore[misc]


def in_python(wanted: Filter, stored: Properties) -> list[bool]:
    return [matches(wanted, one) for one in stored]
