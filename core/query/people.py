"""Persons inside rows of answers: fetched once for all rows, by UUID, never one by one."""

from collections.abc import Collection, Iterable, Mapping
from itertools import batched
from typing import Any, Final

import orjson

from core.api.errors import Invalid
from core.insights.people import AT_ONCE, MAX_BYTES
from core.tenancy.statements import fetch_rows

_PERSONS: Final = """
SELECT uuid::text, properties::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM core_person WHERE team_id = %s AND uuid = ANY(%s::uuid[])
"""

type Person = tuple[str, str, str]


class People:
    """The persons of some rows. An answer may repeat them up to MAX_BYTES of properties."""

    def __init__(self, *, team_id: int, uuids: Iterable[str | None]) -> None:
        """Fetch them by one statement for every AT_ONCE of them; None is of a row that nobody owns."""
        wanted = sorted(uuid for uuid in set(uuids) if uuid is not None)
        self._left = MAX_BYTES
        self._persons: Mapping[str, Person] = {
            row[0]: row
            for some in batched(wanted, AT_ONCE, strict=False)
            for row in fetch_rows(_PERSONS, [team_id, list(some)])
        }

    def known(self) -> Collection[str]:
        """Return the UUIDs of those that are there."""
        return self._persons.keys()

    def of_event(self, uuid: str | None, distinct_id: str) -> dict[str, Any]:
        """Return what a row of events shows of its person; no more than the distinct id of one that is not stored."""
        found = None if uuid is None else self._persons.get(uuid)
        if found is None:
            return {"distinct_id": distinct_id}
        _, properties, created_at = found
        self._left -= len(properties)
        if self._left < 0:
            message = f"This page would have more than {MAX_BYTES // 1024**2} MB of properties. Ask for fewer rows."
            raise Invalid(message, attr="limit")
        return {
            "uuid": uuid,
            "created_at": created_at,
            "properties": orjson.Fragment(properties),
            "distinct_id": distinct_id,
        }
