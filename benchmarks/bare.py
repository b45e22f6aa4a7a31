"""The floor: a WSGI function that runs the SQL of our request with psycopg and dumps the rows with orjson.

`/all/...` runs every statement that our request runs (the key's look-up, then the persons); `/page/...` runs
the persons' statement alone and so serves anyone. No routing, no checks, no shapes: columns become keys.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
from psycopg import Cursor
from psycopg_pool import ConnectionPool

from benchmarks import recorded

_RECORDINGS = recorded.load(Path(os.environ["BENCH_RECORDINGS"]))
_pool = ConnectionPool(
    os.environ["DATABASE_URL"], min_size=1, max_size=8, kwargs={"autocommit": True}, timeout=10, open=True
)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer `/all|page/retrieve/UUID` and `/all|page/KIND?offset=N` for every recorded list."""
    _, which, kind, *rest = environ["PATH_INFO"].split("/")
    statements = _RECORDINGS[kind].statements
    wanted = rest[0] if rest else ""
    offset = int(environ["QUERY_STRING"].rpartition("offset=")[2] or 0)
    with _pool.connection() as connection:
        for sql, parameters in statements if which == "all" else statements[-1:]:
            cursor = connection.execute(sql, recorded.filled(parameters, wanted, offset))
            rows = _rows(cursor)
    body = orjson.dumps({"results": rows[:100]} if kind != "retrieve" else rows[0])
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _rows(cursor: Cursor[Any]) -> list[dict[str, Any]]:
    names = [column.name for column in cursor.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in cursor]
    for row in rows:
        if "properties" in row:
            row["properties"] = orjson.Fragment(row["properties"])
    return rows
