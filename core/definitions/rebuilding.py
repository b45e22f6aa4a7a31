"""Definitions of what a project had stored before definitions were kept, or what was deleted of them by hand."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString, cast
from uuid import UUID

import orjson
from django.db import transaction

from core.definitions.services import Known, Sighting, property_definitions_add
from core.tenancy.holding import team_hold
from core.tenancy.statements import execute
from events.hogql.context import PropertyOf
from events.property_keys import event_days, event_property_keys

PAGE: Final = 2_000

_COUNTS: Final[LiteralString] = """
SELECT (SELECT count(*) FROM core_person WHERE team_id = %(team_id)s),
       (SELECT count(*) FROM core_group WHERE team_id = %(team_id)s)
"""
_PERSONS: Final[LiteralString] = """
SELECT uuid, properties::text FROM core_person WHERE team_id = %s AND uuid > %s ORDER BY uuid LIMIT %s
"""
_GROUPS: Final[LiteralString] = """
SELECT group_type_index, group_key, properties::text FROM core_group
WHERE team_id = %s AND (group_type_index, group_key) > (%s, %s) ORDER BY group_type_index, group_key LIMIT %s
"""


@dataclass(slots=True)
class RebuildProgress:
    """How far a rebuild is, in events, persons and groups, and how many definitions it has added or given a type."""

    total: int
    done: int = 0
    added: int = 0


def property_definitions_rebuild(*, team_id: int) -> Iterator[RebuildProgress]:
    """Define every key that is stored of a team, yielding as it goes; what is defined already stays as it is.

    Each part is a transaction of its own, so it can be stopped, run again, and run while events come in. Raises
    TeamGoneError, and StoreUnavailable when ClickHouse is away.
    """
    known = Known()
    days = event_days(team_id=team_id)
    ((persons, groups),) = execute(_COUNTS, {"team_id": team_id})
    progress = RebuildProgress(sum(events for _, events in days) + persons + groups)
    yield progress
    for count, sightings in _parts(team_id, days):
        with transaction.atomic():
            team_hold(team_id)
            progress.added += property_definitions_add(team_id, sightings, known=known)
        progress.done += count
        yield progress


def _parts(team_id: int, days: Sequence[tuple[str, int]]) -> Iterator[tuple[int, list[Sighting]]]:
    """Yield what is stored, with how many events, persons or groups it is of: the first days first."""
    for day, events in days:
        values = {name: _value(json) for name, json in event_property_keys(team_id=team_id, day=day)}
        yield events, [("event", values)]
    last: Any = UUID(int=0)
    while page := execute(_PERSONS, [team_id, last, PAGE]):
        last = page[-1][0]
        yield len(page), [("person", orjson.loads(text)) for _, text in page]
    last = (-1, "")
    while page := execute(_GROUPS, [team_id, *last, PAGE]):
        last = page[-1][:2]
        yield len(page), [(cast("PropertyOf", f"group_{index}"), orjson.loads(text)) for index, _, text in page]


def _value(json: str) -> Any:  # noqa: ANN401 any JSON value
    """Return the value of JSON that may be cut off, as only texts, lists and objects are."""
    try:
        return orjson.loads(json)
    except orjson.JSONDecodeError:
        return json if json.startswith('"') else None
