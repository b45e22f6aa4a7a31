"""properties_at_time: who is meant, which of the person's ids count, and the answer's metadata."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from core.persons import queries
from events import history

MAX_DEBUG_EVENTS: Final = 1000
MAX_INTEGER_ID: Final = 2**63 - 1


class MomentError(ValueError):
    """The text is no ISO 8601 moment."""


class PersonNotFoundError(LookupError):
    """Nobody has this id, or the person has no distinct ids; the text says which id was asked for."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which person (exactly one of the ids), at which moment, replayed how."""

    distinct_id: str | None
    person_id: str | None
    at: datetime
    include_set_once: bool
    debug: bool


def read_moment(text: str) -> datetime:
    """Read ISO 8601; without an offset it is UTC, a bare date is its midnight."""
    try:
        moment = datetime.fromisoformat(text.upper())
        if moment.tzinfo is None:
            return moment.replace(tzinfo=UTC)
        moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MomentError(text) from error
    return moment


def answer(*, team_id: int, asked: Question, display_properties: tuple[str, ...] | None) -> dict[str, Any]:
    """Return the person's detail shape with the properties of then, and how they were worked out.

    Raises PersonNotFoundError, and the errors of the events package when ClickHouse cannot answer.
    """
    row = _person_row(team_id, asked)
    ids = queries.distinct_ids_of(team_id=team_id, person_id=row[0]) if row is not None else []
    if row is None or not ids:
        raise PersonNotFoundError(_not_found(asked))
    found = history.properties_at(team_id=team_id, ids=ids, at=asked.at, include_set_once=asked.include_set_once)
    result = queries.detail(row, queries.naming(display_properties))
    result["properties"] = found.properties
    result["point_in_time_metadata"] = {
        "queried_timestamp": asked.at.isoformat(),
        "include_set_once": asked.include_set_once,
        "distinct_id_used": asked.distinct_id,
        "person_id_used": asked.person_id,
        "query_mode": "distinct_id" if asked.distinct_id is not None else "person_id",
        "distinct_ids_queried": [distinct_id for distinct_id, _ in ids[: queries.MAX_DISTINCT_IDS_IN_DETAIL]],
        "distinct_ids_count": len(ids),
        "operations_applied": found.operations_applied,
    }
    if asked.debug:
        used = history.updates_used(
            team_id=team_id,
            ids=ids,
            at=asked.at,
            include_set_once=asked.include_set_once,
            limit=MAX_DEBUG_EVENTS,
        )
        result["debug"] = {
            "query": used.query,
            "params": used.params,
            "events_found": used.events_found,
            "events": used.events,
        }
    return result


def _person_row(team_id: int, asked: Question) -> tuple[Any, ...] | None:
    if asked.distinct_id is not None:
        return queries.person_row_of_distinct_id(team_id=team_id, distinct_id=asked.distinct_id)
    text = asked.person_id or ""
    key: int | UUID
    if text.isascii() and text.isdigit():
        key = int(text[:20])
        return queries.person_row(team_id=team_id, key=key) if key <= MAX_INTEGER_ID else None
    try:
        key = UUID(text)
    except ValueError:
        return None
    return queries.person_row(team_id=team_id, key=key)


def _not_found(asked: Question) -> str:
    if asked.distinct_id is not None:
        return f"Person with distinct_id '{asked.distinct_id}' not found"
    return f"Person with person_id '{asked.person_id}' not found"
