"""The list of persons as of a past moment: who was there, who matched, with the properties of then.

Identity is today's: the persons that exist now, with the distinct ids they have now, created at or before the moment.
Candidates come from Postgres in the order of the list, and ClickHouse tells in one query per chunk who matched. When
few match, ClickHouse reads the updates of the whole team instead, once, and proposes; nobody is listed unchecked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString
from uuid import UUID

import orjson

from core.persons import queries
from core.persons.point_in_time import utc_text
from core.tenancy.statements import fetch_rows
from events.filters.grammar import Filter
from events.history import Ids
from events.history_batch import Moment, properties_at_moments
from events.history_filter import Asked, candidates_of_team, matching

# A usual filter fills its page from the first chunk, or from a second one that is as large as the matches of the first
# suggest. Where that would be too large, the whole team is read, unless the candidates are few anyhow.
FIRST_CHUNK: Final = 500
LARGEST_CHUNK: Final = 10_000
# How many more than the page the whole-team query proposes, for those who turn out not to have matched.
SPARE: Final = 50

_CANDIDATES: Final[LiteralString] = """
SELECT p.id, p.uuid, p.created_at, p.is_identified, p.last_seen_at, ids.texts, ids.generations
FROM (
    SELECT id, uuid, created_at, is_identified, last_seen_at FROM core_person
    WHERE team_id = %(team_id)s AND created_at <= %(at)s {conditions}
    ORDER BY created_at DESC, uuid LIMIT %(limit)s
) p
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(d.distinct_id ORDER BY d.id), '{{}}') AS texts,
           coalesce(array_agg(d.generation ORDER BY d.id), '{{}}') AS generations
    FROM core_persondistinctid d WHERE d.person_id = p.id
) ids
ORDER BY p.created_at DESC, p.uuid
"""
_AFTER: Final[LiteralString] = (
    " AND created_at <= %(after_at)s AND (created_at < %(after_at)s OR uuid > %(after_uuid)s)"
)
_WITH_DISTINCT_ID: Final[LiteralString] = (
    " AND id = (SELECT person_id FROM core_persondistinctid"
    " WHERE team_id = %(team_id)s AND distinct_id = %(distinct_id)s)"
)
_NAMED: Final[LiteralString] = " AND (id = ANY(%(ids{n})s::bigint[]) OR uuid = ANY(%(uuids{n})s::uuid[]))"
_PROPOSED: Final[LiteralString] = " AND uuid = ANY(%(proposed)s)"


@dataclass(frozen=True, slots=True)
class AsOfQuery:
    """What is asked: `wanted` is the filter on properties then; the other fields restrict today's persons.

    Each of `named` is a list of integer ids and UUIDs that the person must be in. The page begins behind `after`.
    """

    at: datetime
    limit: int
    include_set_once: bool = True
    wanted: Filter | None = None
    distinct_id: str | None = None
    named: Sequence[Sequence[int | UUID]] = ()
    after: tuple[datetime, UUID] | None = None


@dataclass(frozen=True, slots=True)
class _Candidate:
    id: int
    place: tuple[datetime, UUID]
    is_identified: bool
    last_seen_at: datetime | None
    ids: Ids


@dataclass(frozen=True, slots=True)
class AsOfPage:
    """The rows of a page, as `queries.list_item` takes them, and behind whom the next page begins, None at the end."""

    rows: list[tuple[Any, ...]]
    following: tuple[datetime, UUID] | None


def as_of_page(*, team_id: int, asked: AsOfQuery) -> AsOfPage:
    """Return a page of the list, with the properties of then.

    Raises the errors of the events package when ClickHouse cannot answer, in time or at all.
    """
    found: list[_Candidate] = []
    for candidate in _matched(team_id, asked):
        found.append(candidate)
        if len(found) > asked.limit:
            break
    page = found[: asked.limit]
    return AsOfPage(_rows(team_id, asked, page), page[-1].place if len(found) > asked.limit else None)


def _matched(team_id: int, asked: AsOfQuery) -> Iterator[_Candidate]:
    if asked.wanted is None:
        yield from _candidates(team_id, asked, after=asked.after, limit=asked.limit + 1)
        return
    question = Asked(team_id, asked.wanted, asked.at, asked.include_set_once)
    after = asked.after
    few = asked.distinct_id is not None or bool(asked.named)
    first = size = max(FIRST_CHUNK, asked.limit)
    while True:
        chunk = _candidates(team_id, asked, after=after, limit=size)
        matched = list(_checked(question, chunk))
        yield from matched
        if len(chunk) < size:
            return
        after = chunk[-1].place
        # Half as many again, for matches are never spread evenly.
        needed = first * asked.limit * 3 // (2 * len(matched)) if matched else LARGEST_CHUNK + 1
        if not few and (size > first or needed > LARGEST_CHUNK):
            break
        size = min(max(needed, first + 1), LARGEST_CHUNK)
    yield from _proposed(team_id, asked, question, after)


def _proposed(
    team_id: int, asked: AsOfQuery, question: Asked, after: tuple[datetime, UUID] | None
) -> Iterator[_Candidate]:
    """Let ClickHouse propose persons of the whole team, and check them."""
    limit = asked.limit + SPARE
    while True:
        places = candidates_of_team(question, after=after, limit=limit)
        uuids = [uuid for _, uuid in places]
        yield from _checked(question, _candidates(team_id, asked, after=after, limit=limit, proposed=uuids))
        if len(places) < limit:
            return
        after = places[-1]


def _checked(question: Asked, candidates: Sequence[_Candidate]) -> Iterator[_Candidate]:
    if candidates:
        matches = matching(question, [one.ids for one in candidates])
        yield from (one for one, matched in zip(candidates, matches, strict=True) if matched)


def _candidates(
    team_id: int,
    asked: AsOfQuery,
    *,
    after: tuple[datetime, UUID] | None,
    limit: int,
    proposed: Sequence[UUID] | None = None,
) -> list[_Candidate]:
    """Return persons created by then, in the order of the list, with all their distinct ids of today."""
    parameters: dict[str, Any] = {"team_id": team_id, "at": asked.at, "limit": limit}
    conditions: LiteralString = ""
    if after is not None:
        conditions += _AFTER
        parameters["after_at"], parameters["after_uuid"] = after
    if asked.distinct_id is not None:
        conditions += _WITH_DISTINCT_ID
        parameters["distinct_id"] = asked.distinct_id
    for number, keys in enumerate(asked.named):
        conditions += _NAMED.replace("{n}", str(number))
        parameters[f"ids{number}"] = [key for key in keys if isinstance(key, int)]
        parameters[f"uuids{number}"] = [key for key in keys if isinstance(key, UUID)]
    if proposed is not None:
        conditions += _PROPOSED
        parameters["proposed"] = list(proposed)
    rows = fetch_rows(_CANDIDATES.format(conditions=conditions), parameters)
    return [
        _Candidate(person_id, (created_at, uuid), is_identified, seen, list(zip(texts, generations, strict=True)))
        for person_id, uuid, created_at, is_identified, seen, texts, generations in rows
    ]


def _rows(team_id: int, asked: AsOfQuery, page: Sequence[_Candidate]) -> list[tuple[Any, ...]]:
    moments = [Moment(number, asked.at, asked.include_set_once) for number in range(len(page))]
    answers = properties_at_moments(team_id=team_id, persons=[one.ids for one in page], moments=moments)
    return [
        (
            one.id,
            str(one.place[1]),
            orjson.dumps(answer.properties).decode(),
            utc_text(one.place[0]),
            one.is_identified,
            utc_text(one.last_seen_at) if one.last_seen_at else None,
            [distinct_id for distinct_id, _ in one.ids[: queries.MAX_DISTINCT_IDS_IN_LIST]],
        )
        for one, answer in zip(page, answers, strict=True)
    ]
