"""Where in a node the values stand that the readers of insights know under the names of the actors' endpoints."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from core.api.errors import Invalid
from core.query.reading import Fields

PLACES: Final[Mapping[str, str]] = {
    "properties": "properties",
    "filter_test_accounts": "filterTestAccounts",
    "sampling_factor": "samplingFactor",
    "aggregation_group_type_index": "aggregation_group_type_index",
    "date_from": "dateRange__date_from",
    "date_to": "dateRange__date_to",
    "explicit_date": "dateRange__explicitDate",
    "interval": "interval",
    "compare_to": "compareFilter__compare_to",
    "events": "series",
    "actions": "series",
    "breakdownFilter": "breakdownFilter",
    "breakdown": "breakdownFilter__breakdown",
    "breakdowns": "breakdownFilter__breakdowns",
    "breakdown_type": "breakdownFilter__breakdown_type",
    "breakdown_limit": "breakdownFilter__breakdown_limit",
    "breakdown_group_type_index": "breakdownFilter__breakdown_group_type_index",
    "breakdown_normalize_url": "breakdownFilter__breakdown_normalize_url",
    "breakdown_attribution_type": "funnelsFilter__breakdownAttributionType",
    "breakdown_attribution_value": "funnelsFilter__breakdownAttributionValue",
    "exclusions": "funnelsFilter__exclusions",
    "funnel_order_type": "funnelsFilter__funnelOrderType",
    "funnel_window_interval": "funnelsFilter__funnelWindowInterval",
    "funnel_window_interval_unit": "funnelsFilter__funnelWindowIntervalUnit",
    "funnel_from_step": "funnelsFilter__funnelFromStep",
    "funnel_to_step": "funnelsFilter__funnelToStep",
    "period": "retentionFilter__period",
    "total_intervals": "retentionFilter__totalIntervals",
    "selected_interval": "retentionFilter__selectedInterval",
    "retention_type": "retentionFilter__retentionType",
    "target_entity": "retentionFilter__targetEntity",
    "returning_entity": "retentionFilter__returningEntity",
    "include_event_types": "pathsFilter__includeEventTypes",
    "start_point": "pathsFilter__startPoint",
    "end_point": "pathsFilter__endPoint",
    "path_groupings": "pathsFilter__pathGroupings",
    "exclude_events": "pathsFilter__excludeEvents",
    "local_path_cleaning_filters": "pathsFilter__localPathCleaningFilters",
    "paths_hogql_expression": "pathsFilter__pathsHogQLExpression",
    "path_start_key": "pathsFilter__pathStartKey",
    "path_end_key": "pathsFilter__pathEndKey",
    "path_dropoff_key": "pathsFilter__pathDropoffKey",
    "path_replacements": "pathsFilter__pathReplacements",
    "step_limit": "pathsFilter__stepLimit",
    "funnel_paths": "funnelPathsFilter__funnelPathType",
    "funnel_filter": "funnelPathsFilter__funnelSource",
    "funnel_filter__funnel_step": "funnelPathsFilter__funnelStep",
}
"""Of the nodes of insights."""
OF_ACTORS: Final[Mapping[str, str]] = {
    "breakdown": "breakdown",
    "funnel_step": "funnelStep",
    "funnel_custom_steps": "funnelCustomSteps",
    "funnel_step_breakdown": "funnelStepBreakdown",
    "drop_off": "funnelTrendsDropOff",
    "entrance_period_start": "funnelTrendsEntrancePeriodStart",
}
"""Of the nodes that ask who is behind a data point."""


@contextmanager
def own_places(fields: Fields, places: Mapping[str, str] = PLACES) -> Iterator[None]:
    """Let the errors of readers that the block raises lead to the members of a node.

    What leads into the body already, and what `places` does not know, stays.
    """
    try:
        yield
    except Invalid as error:
        error.attr = _place(error.attr, fields, places)
        raise


def _place(attr: str | None, fields: Fields, places: Mapping[str, str]) -> str | None:
    if attr is None:
        return None
    parts = attr.split("__")
    # The longest name goes first: one may begin with another.
    for length in range(len(parts), 0, -1):
        found = places.get("__".join(parts[:length]))
        if found is not None:
            return fields.attr("__".join((found, *parts[length:])))
    return attr
