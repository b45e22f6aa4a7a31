"""Reads of actions: PostHog's action object straight from rows, and the events that actions match."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, LiteralString

import orjson

from core.actions.steps import steps_matches
from core.api.errors import Invalid
from core.api.params import MAX_INTEGER_ID
from core.filters.hogql import hogql_reader
from core.filters.reading import known_cohorts
from core.tenancy.answers import user_basic
from core.tenancy.statements import fetch_row, fetch_rows
from events.filters.grammar import FilterError
from events.filters.tree import cohort_ids, with_cohorts
from events.insights.entities import EventMatch

_COLUMNS: Final = """
a.id, a.name, a.description, a.tags, a.steps::text, a.created_at, a.deleted, a.team_id, a.pinned_at,
u.id, u.uuid, u.distinct_id, u.first_name, u.last_name, u.email, u.is_email_verified
"""
_FROM: Final = " FROM core_action a LEFT JOIN core_user u ON u.id = a.created_by_id "
_ONE: Final = f"SELECT {_COLUMNS} {_FROM} WHERE a.team_id = %s AND a.id = %s"
_WANTED: Final = " WHERE a.team_id = %(team_id)s AND NOT a.deleted"
_SEARCH: Final = " AND a.name ILIKE '%%' || %(search)s || '%%'"
_ORDER: Final = " ORDER BY a.created_at DESC, a.id DESC LIMIT %(limit)s OFFSET %(offset)s"
_STEPS: Final = """
SELECT a.id, a.steps::text, (t.settings -> 'path_cleaning_filters')::text
FROM core_action a JOIN core_team t ON t.id = a.team_id
WHERE a.team_id = %s AND a.id = ANY(%s) AND NOT a.deleted
"""


@dataclass(frozen=True, slots=True)
class ActionPageQuery:
    """What a caller asked of the list; None restricts nothing."""

    limit: int
    offset: int
    search: str | None = None


def action_object(row: Sequence[Any]) -> dict[str, Any]:
    """Return PostHog's action object.

    Nothing is calculated ahead and nothing is posted to Slack, so the fields about these always say so.
    """
    user = row[9:16]
    names = ("user_id", "user_uuid", "distinct_id", "first_name", "last_name", "email", "is_email_verified")
    return {
        "id": row[0],
        "name": row[1] or None,
        "description": row[2],
        "tags": row[3],
        "post_to_slack": False,
        "slack_message_format": "",
        "steps": orjson.Fragment(row[4]),
        "created_at": row[5],
        "created_by": user_basic(dict(zip(names, user, strict=True))) if user[0] is not None else None,
        "deleted": row[6],
        "is_calculating": False,
        "last_calculated_at": row[5],
        "team_id": row[7],
        "is_action": True,
        "bytecode_error": None,
        "pinned_at": row[8],
        "creation_context": None,
    }


def action_row(*, team_id: int, action_id: int) -> tuple[Any, ...] | None:
    """Return an action of the team, deleted or not, or None."""
    return fetch_row(_ONE, [team_id, action_id])


def action_page(*, team_id: int, wanted: ActionPageQuery) -> tuple[list[tuple[Any, ...]], int]:
    """Return the rows of a page, newest first, and how many actions there are on all pages."""
    given: dict[str, Any] = {"team_id": team_id}
    where: LiteralString = _WANTED
    if wanted.search is not None:
        given["search"] = wanted.search.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
        where = _WANTED + _SEARCH
    parameters = {"limit": wanted.limit, "offset": min(wanted.offset, MAX_INTEGER_ID), **given}
    rows = fetch_rows("SELECT" + _COLUMNS + _FROM + where + _ORDER, parameters)
    count_sql: LiteralString = "SELECT count(*) FROM core_action a" + where  # noqa: S608 constants of this module
    ((count,),) = fetch_rows(count_sql, given)
    return rows, int(count)


def action_matches(*, team_id: int, ids: Collection[int]) -> dict[int, tuple[EventMatch, ...]]:
    """Return what each of the team's actions matches, one match per step, by id; one statement for all.

    Actions that are deleted or not of the team are absent; one without steps has no match. Relative dates count from
    now. Cohorts deleted since match nothing; one more statement asks for them where steps name any, and some for what
    HogQL names. Raises Invalid (attr `actions`) for an action that has become unusable, by the project's path cleaning
    rules or because its HogQL names what is no more.
    """
    wanted = sorted({number for number in ids if 0 <= number <= MAX_INTEGER_ID})
    if not wanted:
        return {}
    now = datetime.now(UTC)
    matches: dict[int, tuple[EventMatch, ...]] = {}
    stored = [(number, orjson.loads(steps), rules) for number, steps, rules in fetch_rows(_STEPS, [team_id, wanted])]
    hogql = hogql_reader([steps for _, steps, _ in stored], team_id=team_id)
    for number, steps, rules in stored:
        listed = orjson.loads(rules) if rules else None
        usable = [rule for rule in listed if isinstance(rule, dict)] if isinstance(listed, list) else []
        try:
            matches[number] = steps_matches(steps, now=now, path_rules=usable, hogql=hogql)
        except FilterError as error:
            message = f"Action {number} cannot be used: {error.message}"
            raise Invalid(message, attr="actions") from error
    named = {
        number for steps in matches.values() for step in steps if step.filter for number in cohort_ids(step.filter)
    }
    if not named:
        return matches
    known = known_cohorts(named, team_id=team_id)
    return {
        number: tuple(
            replace(step, filter=with_cohorts(step.filter, known)) if step.filter is not None else step
            for step in steps
        )
        for number, steps in matches.items()
    }
