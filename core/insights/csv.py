"""Actors as a table: one row each, nested values in columns named by their paths (insight_actors.md 14)."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson
from django.http import StreamingHttpResponse

from core.api.errors import Invalid
from core.api.json import dumps
from core.insights.people import Actor
from core.persons.csv_columns import MAX_COLUMNS
from core.persons.flattening import flattened, table_line

TABLE_TYPE: Final = "text/csv; charset=utf-8"


def table_response(people: Sequence[Actor]) -> StreamingHttpResponse:
    """Answer with the table; nothing at all for no actors. Invalid when they have too many different properties."""
    header: set[str] = set()
    for actor in people:
        header.update(_cells(actor))
        if len(header) > MAX_COLUMNS:
            message = f"These actors would need more than {MAX_COLUMNS} columns. Use format=json instead."
            raise Invalid(message, attr="format")
    return StreamingHttpResponse(_lines(sorted(header), people), content_type=TABLE_TYPE)


def _lines(header: list[str], people: Sequence[Actor]) -> Iterator[bytes]:
    if people:
        yield table_line(header)
    for actor in people:
        cells = _cells(actor)
        yield table_line(cells.get(name) for name in header)


def _cells(actor: Actor) -> dict[str, Any]:
    return dict(flattened(orjson.loads(dumps(actor))))
