"""properties_at_time: who is meant, which of the person's ids count, and the answer's metadata."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, LiteralString
from uuid import UUID

import orjson

from core.persons import queries
from core.tenancy.statements import fetch_rows
from events import history
from events.errors import QueryTooBig
from events.history_batch import Moment, properties_at_moments

MAX_DEBUG_EVENTS: Final = 1000
MAX_INTEGER_ID: Final = 2**63 - 1
# Distinct ids that one answer for many persons may list.
MAX_LISTED_IDS: Final = 200_000

_IDENTITIES: Final[LiteralString] = """
WITH wanted AS (
    SELECT distinct_id, id, uuid FROM json_to_recordset(%(wanted)s::json) AS w(distinct_id text, id bigint, uuid uuid)
), named AS (
    SELECT d.person_id AS person, w.distinct_id, null::bigint AS id, null::uuid AS uuid
    FROM wanted w JOIN core_persondistinctid d ON d.team_id = %(team_id)s AND d.distinct_id = w.distinct_id
    UNION ALL
    SELECT p.id, null, w.id, null FROM wanted w JOIN core_person p ON p.team_id = %(team_id)s AND p.id = w.id
    UNION ALL
    SELECT p.id, null, null, w.uuid FROM wanted w JOIN core_person p ON p.team_id = %(team_id)s AND p.uuid = w.uuid
)
SELECT found.names, p.id, p.uuid::text, p.properties::text, p.created_at, p.is_identified, p.last_seen_at,
       ARRAY(SELECT d.distinct_id FROM core_persondistinctid d WHERE d.person_id = p.id ORDER BY d.id),
       ARRAY(SELECT d.generation FROM core_persondistinctid d WHERE d.person_id = p.id ORDER BY d.id)
FROM (SELECT person, json_agg(json_build_array(distinct_id, id, uuid)) AS names FROM named GROUP BY person) AS found
JOIN core_person p ON p.id = found.person AND p.team_id = %(team_id)s
"""


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
    result["point_in_time_metadata"] = _metadata(asked, ids, found.operations_applied)
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


def answers(
    *, team_id: int, asked: Sequence[Question], display_properties: tuple[str, ...] | None
) -> list[dict[str, Any]]:
    """Answer many questions in their order, each as `answer` would; one statement and one query for all.

    Every entry has the key `error`, null where the person was found. Where nobody was, it says so and the fields of
    the person are null. Raises the errors of the events package, QueryTooBig also for too many distinct ids.
    """
    persons = _persons(team_id, asked)
    owners = list({person[0][0]: person for person in persons.values()}.values())
    places = {row[0]: place for place, (row, _) in enumerate(owners)}
    known = [(question, found) for question in asked if (found := persons.get(_key(question))) and found[1]]
    if sum(min(len(ids), queries.MAX_DISTINCT_IDS_IN_DETAIL) for _, (_, ids) in known) > MAX_LISTED_IDS:
        raise QueryTooBig
    moments = [Moment(places[row[0]], question.at, question.include_set_once) for question, (row, _) in known]
    replayed = iter(properties_at_moments(team_id=team_id, persons=[ids for _, ids in owners], moments=moments))
    names = queries.naming(display_properties)
    results = []
    for question in asked:
        row, ids = persons.get(_key(question)) or (None, [])
        if row is None or not ids:
            results.append({**_NOBODY, "point_in_time_metadata": _metadata(question, [], 0),
                            "error": _not_found(question)})  # fmt: skip
            continue
        then = next(replayed)
        result = queries.detail(row, names)
        result["properties"] = then.properties
        result["point_in_time_metadata"] = _metadata(question, ids, then.operations_applied)
        result["error"] = None
        results.append(result)
    return results


_NOBODY: Final[Mapping[str, None]] = dict.fromkeys(
    ("id", "name", "distinct_ids", "properties", "created_at", "uuid", "is_identified", "last_seen_at")
)

type _Key = tuple[str | None, int | None, str | None]
type _Found = tuple[tuple[Any, ...], list[tuple[str, int]]]


def _key(asked: Question) -> _Key:
    """Return the distinct id, integer id or UUID asked for, the other two None; all None for what nobody can have."""
    if asked.distinct_id is not None:
        return asked.distinct_id, None, None
    key = _person_key(asked.person_id or "")
    return (None, key, None) if isinstance(key, int) else (None, None, None if key is None else str(key))


def _persons(team_id: int, asked: Sequence[Question]) -> dict[_Key, _Found]:
    """Return the row (as `queries.detail` takes it) and the distinct ids of everybody who is meant."""
    wanted = [
        {"distinct_id": distinct_id, "id": number, "uuid": uuid}
        for distinct_id, number, uuid in {_key(question) for question in asked}
    ]
    found: dict[_Key, _Found] = {}
    for names, person_id, uuid, text, created_at, identified, seen_at, texts, generations in fetch_rows(
        _IDENTITIES, {"team_id": team_id, "wanted": orjson.dumps(wanted).decode()}
    ):
        shown = texts[: queries.MAX_DISTINCT_IDS_IN_DETAIL]
        row = (person_id, uuid, text, utc_text(created_at), identified, seen_at and utc_text(seen_at), shown)
        for name in names:
            found[tuple(name)] = (row, list(zip(texts, generations, strict=True)))
    return found


def utc_text(moment: datetime) -> str:
    """Return a time as persons show it: UTC with microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _metadata(asked: Question, ids: Sequence[tuple[str, int]], operations: int) -> dict[str, Any]:
    return {
        "queried_timestamp": asked.at.isoformat(),
        "include_set_once": asked.include_set_once,
        "distinct_id_used": asked.distinct_id,
        "person_id_used": asked.person_id,
        "query_mode": "distinct_id" if asked.distinct_id is not None else "person_id",
        "distinct_ids_queried": [distinct_id for distinct_id, _ in ids[: queries.MAX_DISTINCT_IDS_IN_DETAIL]],
        "distinct_ids_count": len(ids),
        "operations_applied": operations,
    }


def _person_row(team_id: int, asked: Question) -> tuple[Any, ...] | None:
    if asked.distinct_id is not None:
        return queries.person_row_of_distinct_id(team_id=team_id, distinct_id=asked.distinct_id)
    key = _person_key(asked.person_id or "")
    return None if key is None else queries.person_row(team_id=team_id, key=key)


def _person_key(text: str) -> int | UUID | None:
    if text.isascii() and text.isdigit():
        number = int(text[:20])
        return number if number <= MAX_INTEGER_ID else None
    try:
        return UUID(text)
    except ValueError:
        return None


def _not_found(asked: Question) -> str:
    if asked.distinct_id is not None:
        return f"Person with distinct_id '{asked.distinct_id}' not found"
    return f"Person with person_id '{asked.person_id}' not found"
