"""What insights and queries need to know of a project beside what every request knows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, LiteralString

import orjson

from core.insights.owners import owners_waiting
from core.tenancy.context import TeamContext
from core.tenancy.statements import fetch_row
from events.insights.intervals import MONDAY, SUNDAY
from events.insights.source import Owner

_PROJECT: Final[LiteralString] = """
SELECT week_start_day, settings -> 'test_account_filters', settings -> 'path_cleaning_filters', kinds.names,
       kinds.indexes, erasures.newest
FROM core_team, LATERAL (
    SELECT array_agg(group_type ORDER BY group_type_index) AS names,
           array_agg(group_type_index ORDER BY group_type_index) AS indexes
    FROM core_grouptype WHERE team_id = core_team.id
) AS kinds, LATERAL (
    SELECT (extract(epoch FROM max(newest.requested_at)) * 1000000)::bigint AS newest
    FROM unnest(ARRAY['events', 'recordings', 'project']) AS erased(kind), LATERAL (
        SELECT requested_at FROM core_deletionrequest WHERE team_id = core_team.id AND kind = erased.kind
        ORDER BY requested_at DESC, id DESC LIMIT 1
    ) AS newest
) AS erasures
WHERE core_team.id = %s
"""


@dataclass(frozen=True)
class InsightProject:
    """The project of the URL.

    `week_start_day` is 0 (Sunday) or 1 (Monday). `test_account_filters` is JSON as it is stored: a list, a group, or
    None. `path_cleaning_filters` are objects with `regex` and `alias`. `display_properties` make persons' names.
    `group_types` are the indexes of group types by name, in their order. `newest_erasure` is the time of the newest
    wish to erase something of it, in microseconds: a wish that is repeated keeps its id.
    """

    team_id: int
    timezone: str
    week_start_day: int = SUNDAY
    test_account_filters: Any = None
    path_cleaning_filters: tuple[Mapping[str, Any], ...] = ()
    display_properties: tuple[str, ...] | None = None
    group_types: Mapping[str, int] = field(default_factory=dict)
    newest_erasure: int | None = None

    @cached_property
    def waiting_owners(self) -> tuple[Owner, ...]:
        """Changes of owners of distinct ids that ClickHouse does not have yet.

        Read once, before ClickHouse is asked, so that none is missed on its way.
        """
        return owners_waiting(self.team_id)


def project_of(team: TeamContext) -> InsightProject:
    """Read what insights and queries use of a project."""
    found = fetch_row(_PROJECT, [team.id]) or (None,) * 6
    week_start_day, accounts, paths, group_types, indexes, newest_erasure = found
    rules = _json(paths)
    return InsightProject(
        team_id=team.id,
        timezone=team.timezone,
        week_start_day=MONDAY if week_start_day == MONDAY else SUNDAY,
        test_account_filters=_json(accounts),
        path_cleaning_filters=tuple(rule for rule in rules if isinstance(rule, dict)) if rules else (),
        display_properties=team.person_display_name_properties,
        group_types=dict(zip(group_types or (), indexes or (), strict=True)),
        newest_erasure=newest_erasure,
    )


def _json(value: Any) -> Any:  # noqa: ANN401 any JSON value
    return orjson.loads(value) if isinstance(value, str) else value
