"""How the person properties stored on a person's events changed over a window of time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from django.conf import settings

from events import client
from events.errors import QueryTooBig
from events.filters.event_clickhouse import EventColumns, event_condition
from events.filters.tree import has_hogql
from events.history import Ids
from events.history_batch import named_ids
from events.insights.entities import EventMatch
from events.insights.statement import foreign_rows
from events.rows import clickhouse_time

QUERY_MEMORY_BYTES: Final = 1024 * 1024 * 1024
# Person properties may be large: what does not fit is asked for in halves, and all points together have a limit.
QUERY_RESULT_BYTES: Final = 32 * 1024 * 1024
ANSWER_BYTES: Final = 64 * 1024 * 1024
_FEW_BYTES: Final[Mapping[str, str | int]] = {"max_result_bytes": QUERY_RESULT_BYTES, "result_overflow_mode": "throw"}

# The hashes are what the table is ordered by after date and event. A row that was delivered twice counts once.
_ROWS: Final = """
    FROM events
    INNER JOIN (
        SELECT name.1 AS distinct_id, name.2 AS generation
        FROM (SELECT arrayJoin(arrayZip(<ids>, <generations>)) AS name)
    ) AS named USING (distinct_id, generation)
    WHERE team_id = {team_id:Int64} AND timestamp >= {since:DateTime64(6, 'UTC')}
        AND timestamp <= {until:DateTime64(6, 'UTC')} AND <events>
        AND cityHash64(distinct_id) IN (arrayMap(id -> cityHash64(id), <ids>))"""

_POINTS: Final = f"""
    SELECT number, total, timestamp, toString(uuid)
    FROM (
        SELECT number, total, timestamp, uuid, number = 1 OR state != lagInFrame(state, 1) OVER before AS opens
        FROM (
            SELECT timestamp, uuid, state, row_number() OVER in_order AS number, count() OVER () AS total
            FROM (
                SELECT timestamp, uuid, <state> AS state {_ROWS} LIMIT 1 BY timestamp, event, distinct_id, uuid)
            WINDOW in_order AS (ORDER BY timestamp, toUInt128(uuid)))
        WINDOW before AS (ORDER BY number ROWS BETWEEN 1 PRECEDING AND CURRENT ROW))
    WHERE opens
    ORDER BY number
    LIMIT {{limit:UInt32}}"""  # noqa: S608 constants only
_STATE: Final = "sipHash128(arrayMap(key -> JSONExtractRaw(person_properties, key), {keys:Array(String)}))"

_PROPERTIES: Final = f"""
    SELECT toString(uuid), timestamp, any(person_properties) {_ROWS} AND uuid IN {{uuids:Array(UUID)}}
    GROUP BY uuid, timestamp"""

_FIRST_DAY: Final = """
    SELECT toDate(timestamp) AS day FROM events
    WHERE team_id = {team_id:Int64} AND timestamp >= {since:DateTime64(6, 'UTC')}
    ORDER BY team_id, day LIMIT 1"""


class TooManyPointsError(ValueError):
    """The properties changed more often than one answer can say."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which events count: of one person, from `since` to `until` (both included), and of any kind or (`matches`) these.

    Filters that look at the person ask `person_id`.
    """

    team_id: int
    person_id: UUID
    ids: Ids
    since: datetime
    until: datetime
    matches: Sequence[EventMatch] | None


@dataclass(frozen=True, slots=True)
class Point:
    """A state: when it began, the JSON text of all person properties then, and its events up to the next point."""

    timestamp: datetime
    properties: str
    relevant_event_count: int


def timeline(window: Window, *, keys: Sequence[str], limit: int) -> list[Point]:
    """Return a point for every event whose values under `keys` differ from those of the event before.

    Order: timestamp, then event uuid. Raises TooManyPointsError beyond `limit`, and QueryTooBig when the
    properties of the points together exceed ANSWER_BYTES.
    """
    if not window.ids:
        return []
    sql, parameters = _bound(window, _POINTS.replace("<state>", _STATE if keys else "1"))
    parameters |= {"limit": limit + 1, **({"keys": list(keys)} if keys else {})}
    rows = _asked(window, sql, parameters, {"max_memory_usage": QUERY_MEMORY_BYTES})
    if len(rows) > limit:
        raise TooManyPointsError
    texts: dict[tuple[str, datetime], str] = {}
    size = 0
    for uuid, timestamp, properties in _properties(window, [row[3] for row in rows]):
        texts[uuid, timestamp] = properties
        size += len(properties)
        if size > ANSWER_BYTES:
            raise QueryTooBig
    ends = [row[0] for row in rows[1:]] + [rows[0][1] + 1] if rows else []
    return [
        Point(timestamp.replace(tzinfo=UTC), texts[uuid, timestamp], end - number)
        for (number, _, timestamp, uuid), end in zip(rows, ends, strict=True)
    ]


def first_day(*, team_id: int, since: datetime) -> date | None:
    """Return the UTC day of the team's earliest event that is not before `since`."""
    rows = client.query(_FIRST_DAY, {"team_id": team_id, "since": clickhouse_time(since)}).rows
    return rows[0][0] if rows else None


def _asked(
    window: Window, sql: str, parameters: dict[str, Any], limits: Mapping[str, str | int]
) -> list[tuple[Any, ...]]:
    if any(has_hogql(match.filter) for match in window.matches or ()):
        seconds = settings.CLICKHOUSE_QUERY_TIMEOUT_SECONDS
        return foreign_rows(sql, parameters, query_id=f"timeline-{uuid4()}", seconds=seconds)
    return client.query(sql, parameters, settings=limits).rows


def _bound(window: Window, template: str) -> tuple[str, dict[str, Any]]:
    parameters: dict[str, Any] = {
        "team_id": window.team_id,
        "since": clickhouse_time(window.since),
        "until": clickhouse_time(window.until),
    }
    names = named_ids({0: window.ids}, parameters)
    return names.sql(template.replace("<events>", _matching(window, parameters))), parameters


def _matching(window: Window, parameters: dict[str, Any]) -> str:
    if window.matches is None:
        return "true"
    parameters["person_id"] = str(window.person_id)
    columns = EventColumns("events", "{person_id:UUID}", since=window.since, until=window.until)
    names = sorted({match.event for match in window.matches if match.event is not None})
    numbers = {name: f"event = {{events:Array(String)}}[{number}]" for number, name in enumerate(names, start=1)}
    parameters["events"] = names
    any_of = [
        " AND ".join(
            [
                "true" if match.event is None else numbers[match.event],
                *([event_condition(match.filter, parameters, columns=columns)] if match.filter is not None else []),
            ]
        )
        for match in window.matches
    ]
    named = all(match.event is not None for match in window.matches)
    # The table is ordered by date and event, so the names spare most of its rows.
    narrowed = "event IN {events:Array(String)} AND " if named else ""
    return f"{narrowed}({' OR '.join(f'({one})' for one in any_of) or 'false'})"


def _properties(window: Window, uuids: Sequence[str]) -> Iterator[tuple[str, datetime, str]]:
    if not uuids:
        return
    sql, parameters = _bound(window, _PROPERTIES)
    try:
        yield from _asked(window, sql, {**parameters, "uuids": list(uuids)}, _FEW_BYTES)
    except QueryTooBig:
        if len(uuids) == 1:
            raise
        middle = len(uuids) // 2
        yield from _properties(window, uuids[:middle])
        yield from _properties(window, uuids[middle:])
