"""The published parameters of paths (insight_actors.md 2.3)."""

from typing import Final

from core.insights.path_items import MAX_GROUPINGS, TYPES
from core.insights.paths import DEFAULT_STEPS, FUNNEL_PARTS, MAX_STEPS
from core.insights.schema import Described
from events.filters.members import MAX_PATH_RULES

_GRAPH: Final = "Of the graph of paths; without effect here."

PATH: Final[Described] = {
    "include_event_types": (
        list,
        f"Events that count, any of {', '.join(TYPES)}. Without these and names, all events do.",
    ),
    "include_custom_events": (list, "Names of events that count; not together with `custom_event`."),
    "exclude_events": (list, "Names of items that do not count."),
    "paths_hogql_expression": (
        str,
        "HogQL whose value names items that are no page or screen; with `hogql` among the types, or without any types.",
    ),
    "start_point": (str, "Paths begin where this item comes first; sessions without it do not count."),
    "end_point": (str, "Paths end where this item comes first; sessions without it do not count."),
    "step_limit": (int, f"Items of a path, {MAX_STEPS} at most. Default: {DEFAULT_STEPS}."),
    "path_groupings": (
        list,
        f"At most {MAX_GROUPINGS} texts, `*` being any text: an item in which one occurs goes by it.",
    ),
    "path_replacements": (bool, "Clean items by the project's `path_cleaning_filters`."),
    "local_path_cleaning_filters": (
        list,
        f'At most {MAX_PATH_RULES} more rules `{{"regex", "alias"}}`; `\\1` in an alias is what a group matched.',
    ),
    "path_start_key": (str, "`<n>_<item>`: paths in which an item follows this one at place n, counted from 1."),
    "path_end_key": (
        str,
        "`<n>_<item>`: paths with this item at place n; right after `path_start_key` if given.",
    ),
    "path_dropoff_key": (str, "`<n>_<item>`: paths that end with this item at place n; wins over the other two."),
    "funnel_paths": (str, f"One of {', '.join(FUNNEL_PARTS)}: only events there, of who is in `funnel_filter`."),
    "funnel_filter": (list, "The parameters of `persons/funnel`, `funnel_step` among them."),
    "funnel_step": (int, "Below 0: paths before a step go on for the funnel's window after it."),
    "edge_limit": (int, _GRAPH),
    "min_edge_weight": (int, _GRAPH),
    "max_edge_weight": (int, _GRAPH),
}
