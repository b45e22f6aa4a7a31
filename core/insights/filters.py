"""The property filters of insights: of every event considered, of test accounts, and of a search."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from core.actions.hogql import actions_named
from core.api.errors import Invalid
from core.filters.hogql import hogql_reader
from core.filters.problems import invalid_filter
from core.filters.reading import known_cohorts_only
from core.insights.parameters import Parameters, structured_value
from core.insights.project import InsightProject
from events.filters.errors import FilterError
from events.filters.grammar import Filter, FilterGroup, read_filters

UNPARSABLE: Final = "Properties are unparsable!"
MIXED: Final = "Property list cannot contain both PropertyGroup and Property objects"
MAX_SEARCH: Final = 1000


def read_filter(  # noqa: PLR0913 where the filters stand, and what they are read with
    value: Any,  # noqa: ANN401 any JSON value
    *,
    attr: str,
    project: InsightProject,
    now: datetime | None = None,
    values: bool = False,
    inside: Sequence[str] = (),
) -> Filter | None:
    """Return the filter on events in a JSON value, or JSON text of one; None when it restricts nothing.

    `now` is what relative dates in filters count from; with `values`, filters on values of HogQL expressions
    (`hogql_value`), which this server makes, are read too. `inside` leads from `attr` to the value.
    Raises Invalid, with the texts of insight_actors.md 3.5.
    """
    try:
        parsed = structured_value(value, attr=attr)
    except Invalid as error:
        if error.code == "max_length":
            raise
        raise Invalid(UNPARSABLE) from error
    if not isinstance(parsed, Mapping | list | None):
        raise Invalid(UNPARSABLE)
    try:
        wanted = read_filters(
            parsed,
            scope="event",
            now=now,
            path_rules=project.path_cleaning_filters,
            hogql=hogql_reader(parsed, team_id=project.team_id, values=values, actions=actions_named),
        )
    except FilterError as error:
        raise invalid_filter(error, attr=None if error.message == MIXED else attr, inside=inside) from error
    return None if wanted is None else known_cohorts_only(wanted, team_id=project.team_id)


def global_filter(
    params: Parameters, project: InsightProject, *, group_type_index: int | None = None, now: datetime | None = None
) -> Filter | None:
    """Return what all considered events must pass: `properties`, test accounts and `search`.

    With `group_type_index`, the search looks at the name and slug of that group as well.
    """
    accounts = project.test_account_filters if params.flag("filter_test_accounts") else None
    return all_of(
        read_filter(accounts, attr="filter_test_accounts", project=project, now=now),
        read_filter(params.values.get("properties"), attr="properties", project=project, now=now),
        _search(params, project, group_type_index),
    )


def all_of(*filters: Filter | None) -> Filter | None:
    """Return a filter that demands all of these; None when there is none."""
    present = tuple(one for one in filters if one is not None)
    if len(present) > 1:
        return FilterGroup("AND", present)
    return present[0] if present else None


def _search(params: Parameters, project: InsightProject, group_type_index: int | None) -> Filter | None:
    text = params.text("search")
    if text is None:
        return None
    if len(text) > MAX_SEARCH:
        message = f"Ensure this field has no more than {MAX_SEARCH} characters."
        raise Invalid(message, code="max_length", attr="search")
    looked_at: list[dict[str, Any]] = [
        {"type": "person", "key": "email"},
        {"type": "person", "key": "name"},
        {"type": "event", "key": "distinct_id"},
    ]
    if group_type_index is not None:
        looked_at += [{"type": "group", "group_type_index": group_type_index, "key": key} for key in ("name", "slug")]
    values = [{**place, "operator": "icontains", "value": text} for place in looked_at]
    return read_filter({"type": "OR", "values": values}, attr="search", project=project)
