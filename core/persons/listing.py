"""The list of persons: which filters there are, and how a page and a count of them are read.

An unfiltered page is one prepared statement along the index of the order. A filter that names persons (a
distinct id, ids, an email) has its own index. Any other filter is asked of the next SCANNED_ROWS persons in
the order first, which fills a page unless matches are rare; then of as many as should fill it, if those are few
enough; only then of the whole team, with every index that helps. Each answer is made by one statement alone, so
a page is always one state of the database.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, LiteralString
from uuid import UUID

from django.conf import settings

from core.filters import postgres
from core.persons.paging import ORDERED_COLUMNS, Cursor, Place, beyond, order_of, ordered_rows, place_of
from core.persons.queries import LIST_COLUMNS
from core.persons.searching import property_probe, search_condition
from core.tenancy.statements import execute, fetch_rows, time_limit
from events.filters.grammar import Filter

SCANNED_ROWS: Final = 2_000
SEARCHED_ROWS: Final = 400
"""A search costs more for each person, since it looks at the distinct ids too."""
MOST_SCANNED_ROWS: Final = 60_000

type Row = tuple[Any, ...]
type PersonKey = int | UUID

_SELECT: Final = f"SELECT {LIST_COLUMNS} FROM "  # noqa: S608 own constants
_HAS_DISTINCT_ID: Final[LiteralString] = (
    "p.id = (SELECT d.person_id FROM core_persondistinctid d "
    "WHERE d.team_id = %(team_id)s AND d.distinct_id = %({name})s)"
)
_HAS_EMAIL: Final[LiteralString] = "(p.email_hash = md5(%({name})s) AND p.properties ->> 'email' = %({name})s)"


@dataclass(frozen=True, slots=True)
class PersonFilter:
    """What a caller asked of the list; all that is given must hold. Each of `named` is a list of ids and UUIDs."""

    distinct_id: str | None = None
    email: str | None = None
    key_identifier: str | None = None
    named: tuple[tuple[PersonKey, ...], ...] = ()
    search: str | None = None
    properties: Filter | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of a page in the list's order, and whether persons come before and after them."""

    rows: list[Row]
    before: bool
    after: bool


@dataclass(slots=True)
class Condition:
    """A filter as SQL about a row `p`, with its parameters.

    `each` is to be asked of rows one by one, `whole` of the table, where it may speak of indexes (`indexed`).
    `pointed` says that an index finds the few rows at once, `plain` that a prepared plan is worth keeping, `scanned`
    how many persons are looked at first.
    """

    parameters: dict[str, Any]
    each: LiteralString = ""
    whole: LiteralString = ""
    indexed: bool = False
    pointed: bool = False
    plain: bool = True
    scanned: int = SCANNED_ROWS

    def add(self, each: LiteralString, whole: LiteralString = "") -> None:
        """Demand one thing more."""
        self.each += "AND " + each + " "
        self.whole += "AND " + (whole or each) + " "
        self.indexed = self.indexed or bool(whole)


def condition_of(team_id: int, wanted: PersonFilter) -> Condition:
    """Compile a filter."""
    made = Condition({"team_id": team_id})
    for name, text in (("distinct_id", _HAS_DISTINCT_ID), ("email", _HAS_EMAIL)):
        if (value := getattr(wanted, name)) is not None:
            made.parameters[name] = value
            made.add(text.replace("{name}", name))
            made.pointed = True
    if wanted.key_identifier is not None:
        made.parameters["key_identifier"] = wanted.key_identifier
        made.add("(" + _HAS_DISTINCT_ID.replace("{name}", "key_identifier") + " OR "
                 + _HAS_EMAIL.replace("{name}", "key_identifier") + ")")  # fmt: skip
        made.pointed, made.plain = True, False
    for number, keys in enumerate(wanted.named):
        made.parameters[f"ids{number}"] = [key for key in keys if isinstance(key, int)]
        made.parameters[f"uuids{number}"] = [key for key in keys if isinstance(key, UUID)]
        text = f"(p.id = ANY(%(ids{number})s::bigint[]) OR p.uuid = ANY(%(uuids{number})s::uuid[]))"
        made.add(text)
        made.pointed, made.plain = True, False
    if wanted.search:
        made.plain, made.scanned = False, SEARCHED_ROWS
        each, whole = search_condition(wanted.search, made.parameters)
        made.add(each, "" if made.pointed else whole)
    if wanted.properties is not None:
        made.plain = False
        each = postgres.condition(wanted.properties, made.parameters)
        probe = "" if made.pointed else property_probe(wanted.properties, made.parameters)
        made.add(each, probe and probe + " AND " + each)
    return made


def person_page(
    *, team_id: int, wanted: PersonFilter, limit: int, offset: int = 0, cursor: Cursor | None = None
) -> Page:
    """Return a page of at most `limit` persons: from the cursor on, or from an offset.

    A page before a cursor that would reach beyond the first person is the first page.
    """
    page = _page(condition_of(team_id, wanted), limit=limit, offset=offset, cursor=cursor)
    if cursor is not None and cursor.backward and not page.before:
        return _page(condition_of(team_id, wanted), limit=limit, offset=0, cursor=None)
    return page


def person_count(*, team_id: int, wanted: PersonFilter) -> int:
    """Return how many persons match."""
    condition = condition_of(team_id, wanted)
    sql: LiteralString = "SELECT count(*) FROM core_person p WHERE p.team_id = %(team_id)s "
    with limited():
        return int(execute(sql + condition.whole, condition.parameters)[0][0])


@contextmanager
def limited() -> Iterator[None]:
    """Bound the time of statements whose cost the caller chooses."""
    with time_limit(settings.LIST_QUERY_TIMEOUT_SECONDS):
        yield


def places(page: Page) -> tuple[Place, Place] | None:
    """Return the places of the first and the last person of a page, or None for an empty one."""
    if not page.rows:
        return None
    (_, first, _, first_at, *_), (_, last, _, last_at, *_) = page.rows[0], page.rows[-1]
    return place_of(first_at, first), place_of(last_at, last)


def _page(condition: Condition, *, limit: int, offset: int, cursor: Cursor | None) -> Page:
    parameters = condition.parameters
    parameters |= {"limit": limit + 1, "offset": offset if cursor is None else 0}
    if cursor is not None:
        parameters |= {"at": cursor.place.created_at, "uuid": cursor.place.uuid}
    rows = _rows(condition, cursor)
    more, rows = len(rows) > limit, rows[:limit]
    if cursor is not None and cursor.backward:
        return Page(rows[::-1], before=more, after=True)
    return Page(rows, before=cursor is not None or offset > 0, after=more)


def _rows(condition: Condition, cursor: Cursor | None) -> list[Row]:
    """Return up to limit + 1 rows, away from the cursor."""
    if not condition.each:
        return fetch_rows(_ordered(cursor), condition.parameters)
    if condition.pointed:
        run = fetch_rows if condition.plain and cursor is None else execute
        return run(_collected(condition, cursor), condition.parameters)
    with limited():
        scanned = condition.scanned
        while True:
            rows = execute(_scanned(condition, cursor), condition.parameters | {"scanned": scanned})
            wanted, complete = condition.parameters["limit"], not rows or rows[-1][0] is not None
            if len(rows) >= wanted or complete:
                return rows
            found = len(rows) - 1
            further = scanned * wanted * 2 // max(found, 1)
            if scanned > condition.scanned or further > MOST_SCANNED_ROWS:
                break
            scanned = further
        whole = _collected if condition.indexed else _ordered_matches
        return execute(whole(condition, cursor), condition.parameters)


def _ordered(cursor: Cursor | None, where: LiteralString = "") -> LiteralString:
    offset: LiteralString = " OFFSET %(offset)s" if cursor is None else ""
    rows = ordered_rows(cursor, limit="%(limit)s", where=where) + offset
    return _SELECT + "(" + rows + ") p " + order_of(cursor)


def _ordered_matches(condition: Condition, cursor: Cursor | None) -> LiteralString:
    """Return the statement that walks the whole order until the page is full."""
    return _ordered(cursor, condition.whole)


def _scanned(condition: Condition, cursor: Cursor | None) -> LiteralString:
    """Return the statement that looks at the next rows of the order only.

    When it does not fill the page and there are persons beyond those rows, its last row is all null. Postgres
    reads the second branch only after the first has run dry, so a page that fills never asks.
    """
    scanned = ordered_rows(cursor, limit="%(scanned)s")
    return (
        _SELECT  # noqa: S608 own constants, values are bound
        + "((SELECT p.* FROM ("
        + scanned
        + ") p WHERE true "
        + condition.each
        + order_of(cursor)
        + " LIMIT %(limit)s OFFSET %(offset)s) UNION ALL (SELECT "
        + ", ".join(["null"] * ORDERED_COLUMNS)
        + " FROM ("
        + ordered_rows(cursor, limit="%(scanned)s + 1")
        + ") p OFFSET %(scanned)s LIMIT 1) LIMIT %(limit)s) p"
    )


def _collected(condition: Condition, cursor: Cursor | None) -> LiteralString:
    """Return the statement that finds all matches by index first and puts them in order then."""
    order = order_of(cursor)
    return (
        "WITH found AS MATERIALIZED (SELECT p.id, p.created_at, p.uuid FROM core_person p "  # noqa: S608 own constants, values are bound
        "WHERE p.team_id = %(team_id)s "
        + condition.whole
        + beyond(cursor)
        + ") "
        + _SELECT
        + "(SELECT p.id FROM found p "
        + order
        + " LIMIT %(limit)s OFFSET %(offset)s) page JOIN core_person p ON p.id = page.id "
        + order
    )
