"""What compiling a statement needs to know of its project. It is looked up before, in one go, by those above."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from events.hogql.ast import RowCondition

type PropertyType = Literal["Numeric", "DateTime", "Boolean", "String"]
type PropertyOf = Literal["event", "person", "group_0", "group_1", "group_2", "group_3", "group_4"]
type PersonMode = Literal[
    "disabled",
    "person_id_no_override_properties_on_events",
    "person_id_override_properties_on_events",
    "person_id_override_properties_joined",
]

DEFAULT_PERSON_MODE: Final[PersonMode] = "person_id_override_properties_on_events"
DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 50_000


@dataclass(frozen=True, slots=True)
class Context:
    """One project, as a statement sees it.

    `property_types` has the definitions of the properties that the statement names; others are text. `group_types`
    are the project's names of group types with their indexes. `cohorts` are the ids of those of the project's cohorts
    that the statement names by id or by name; `static_cohorts` are all of the project's static ones, if the statement
    names the table `static_cohort_people`: ClickHouse cannot tell them apart. `actions` are the conditions of the
    actions that the statement names by id or by name, None for one that has no steps; it is None itself where actions
    cannot be named. `week_start_day` is 0 (Sunday) or 1 (Monday).
    """

    team_id: int
    timezone: str = "UTC"
    week_start_day: int = 0
    person_mode: PersonMode = DEFAULT_PERSON_MODE
    property_types: Mapping[tuple[PropertyOf, str], PropertyType] = field(default_factory=dict)
    group_types: Mapping[str, int] = field(default_factory=dict)
    cohorts: Mapping[int | str, int] = field(default_factory=dict)
    static_cohorts: frozenset[int] = frozenset()
    actions: Mapping[int | str, RowCondition | None] | None = None
