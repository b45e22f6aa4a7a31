"""What insights need to know of a project beside what every request knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import orjson

from core.insights.owners import owners_waiting
from core.tenancy.context import TeamContext
from core.tenancy.statements import fetch_row
from events.insights.intervals import MONDAY, SUNDAY
from events.insights.source import Owner

_SETTINGS: Final[LiteralString] = (
    "SELECT week_start_day, settings -> 'test_account_filters', settings -> 'path_cleaning_filters' "
    "FROM core_team WHERE id = %s"
)


@dataclass(frozen=True, slots=True)
class InsightProject:
    """The project of the URL.

    `week_start_day` is 0 (Sunday) or 1 (Monday). `test_account_filters` is JSON as it is stored: a list, a group, or
    None. `path_cleaning_filters` are objects with `regex` and `alias`. `display_properties` make persons' names.
    `waiting_owners` are changes of owners of distinct ids that ClickHouse does not have yet.
    """

    team_id: int
    timezone: str
    week_start_day: int = SUNDAY
    test_account_filters: Any = None
    path_cleaning_filters: tuple[Mapping[str, Any], ...] = ()
    display_properties: tuple[str, ...] | None = None
    waiting_owners: tuple[Owner, ...] = ()


def project_of(team: TeamContext) -> InsightProject:
    """Read what insights use of a project. Owners are read first of all, so that none is missed on its way."""
    week_start_day, accounts, paths = fetch_row(_SETTINGS, [team.id]) or (None, None, None)
    rules = _json(paths)
    return InsightProject(
        team_id=team.id,
        timezone=team.timezone,
        week_start_day=MONDAY if week_start_day == MONDAY else SUNDAY,
        test_account_filters=_json(accounts),
        path_cleaning_filters=tuple(rule for rule in rules if isinstance(rule, dict)) if rules else (),
        display_properties=team.person_display_name_properties,
        waiting_owners=owners_waiting(team.id),
    )


def _json(value: Any) -> Any:  # noqa: ANN401 any JSON value
    return orjson.loads(value) if isinstance(value, str) else value
