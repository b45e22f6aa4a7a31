"""What a HogQL statement needs to know of its project: one statement for each sort of thing, and only what is named."""

from collections.abc import Callable, Collection, Mapping
from typing import Final, LiteralString

from core.definitions.queries import property_types
from core.tenancy.statements import fetch_rows
from events.hogql import ast
from events.hogql.context import DEFAULT_PERSON_MODE, Context, PersonMode
from events.hogql.walk import cohort_names, property_keys, tables_named

type ActionsNamed = Callable[[ast.Node, int], Mapping[int | str, ast.RowCondition | None]]

MOST_NAMES: Final = 5_000
_STATIC: Final = "static_cohort_people"
_GROUP_TYPES: Final[LiteralString] = "SELECT group_type, group_type_index FROM core_grouptype WHERE team_id = %s"
_COHORTS: Final[LiteralString] = """
SELECT id, name FROM core_cohort
WHERE team_id = %s AND NOT deleted AND (id = ANY(%s) OR name = ANY(%s)) ORDER BY id DESC
"""
_STATIC_COHORTS: Final[LiteralString] = "SELECT id FROM core_cohort WHERE team_id = %s AND is_static AND NOT deleted"
_MAX_ID: Final = 2**63 - 1


def project_context(  # noqa: PLR0913 what a Context has of its project
    node: ast.Node,
    *,
    team_id: int,
    timezone: str,
    week_start_day: int,
    person_mode: PersonMode = DEFAULT_PERSON_MODE,
    group_types: Mapping[str, int] | None = None,
    actions: ActionsNamed | None = None,
) -> Context:
    """Return the project as a statement, or an expression, sees it; its `group_types` are looked up unless given.

    `actions` looks up the actions that it names; without, none can be named.
    """
    return Context(
        team_id=team_id,
        timezone=timezone,
        week_start_day=week_start_day,
        person_mode=person_mode,
        property_types=property_types(team_id, _storable(property_keys(node))),
        group_types=dict(fetch_rows(_GROUP_TYPES, [team_id])) if group_types is None else group_types,
        cohorts=_cohorts(team_id, cohort_names(node)),
        static_cohorts=_static_cohorts(team_id, node),
        actions=None if actions is None else actions(node, team_id),
    )


def _storable(names: Collection[str]) -> list[str]:
    return sorted(name for name in names if "\x00" not in name)[:MOST_NAMES]


def _cohorts(team_id: int, named: Collection[int | str]) -> Mapping[int | str, int]:
    """Return the project's cohorts by the ids and names that were given; of equal names the oldest."""
    ids = sorted({name for name in named if isinstance(name, int) and 0 <= name <= _MAX_ID})[:MOST_NAMES]
    names = _storable([name for name in named if isinstance(name, str)])
    if not ids and not names:
        return {}
    found: dict[int | str, int] = {}
    for cohort_id, name in fetch_rows(_COHORTS, [team_id, ids, names]):
        if name in names:
            found[name] = cohort_id
        if cohort_id in ids:
            found[cohort_id] = cohort_id
    return found


def _static_cohorts(team_id: int, node: ast.Node) -> frozenset[int]:
    if _STATIC not in tables_named(node):
        return frozenset()
    return frozenset(cohort_id for (cohort_id,) in fetch_rows(_STATIC_COHORTS, [team_id]))
