"""The parameters that say which events are items of paths, and how the items' names are made."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import re2

from core.actions.hogql import actions_named
from core.api.errors import Invalid
from core.filters.hogql import read_expression
from core.insights.parameters import Parameters
from core.insights.project import InsightProject
from events.client import parameter_chunks
from events.filters.errors import FilterError
from events.filters.members import MAX_PATH_RULES
from events.filters.operators import check_pattern
from events.filters.row_expressions import RowExpression
from events.insights.paths import Items
from events.insights.paths_items import PAGEVIEW, SCREEN

CUSTOM: Final = "custom_event"
HOGQL: Final = "hogql"
TYPES: Final = (PAGEVIEW, SCREEN, CUSTOM, HOGQL)
MAX_NAME: Final = 10_000
MAX_GROUPINGS: Final = 50
MAX_PATTERN: Final = 1000
_BOTH_CUSTOM: Final = "Cannot include all custom events and specific custom events in the same query"
_REFERENCE: Final = re.compile(r"\\(.)", re.DOTALL)


def read_items(params: Parameters, project: InsightProject) -> Items:
    """Read which events are items of paths, and under which names. Raises Invalid."""
    types = params.texts("include_event_types")
    for one in types:
        if one not in TYPES:
            message = f'"{one[:100]}" is not a valid choice.'
            raise Invalid(message, code="invalid_choice", attr="include_event_types")
    names, excluded = _names(params, "include_custom_events"), _names(params, "exclude_events")
    if CUSTOM in types and names:
        raise Invalid(_BOTH_CUSTOM)
    everything = not types and not names
    named = HOGQL in types or (everything and HOGQL not in excluded)
    return Items(
        pageviews=PAGEVIEW in types,
        screens=SCREEN in types,
        custom=CUSTOM in types,
        names=names,
        urls=PAGEVIEW in types or (everything and PAGEVIEW not in excluded),
        screen_names=SCREEN in types or (everything and SCREEN not in excluded),
        rules=(*_project_rules(params, project), *_local_rules(params)),
        groupings=_groupings(params),
        excluded=excluded,
        expression=_expression(params, project) if named else None,
    )


def _expression(params: Parameters, project: InsightProject) -> RowExpression | None:
    attr = "paths_hogql_expression"
    text = params.text(attr)
    return None if text is None else read_expression(text, team_id=project.team_id, attr=attr, actions=actions_named)


def _names(params: Parameters, name: str) -> tuple[str, ...]:
    names = list(dict.fromkeys(params.texts(name)))
    if len(list(parameter_chunks(names))) > 1:
        raise Invalid("These names are too long.", code="max_length", attr=name)
    return tuple(names)


def _groupings(params: Parameters) -> tuple[str, ...]:
    groupings = tuple(one for one in params.texts("path_groupings") if one)
    if len(groupings) > MAX_GROUPINGS:
        message = f"Ensure this field has no more than {MAX_GROUPINGS} elements."
        raise Invalid(message, code="max_length", attr="path_groupings")
    if any(len(one) > MAX_PATTERN for one in groupings):
        message = f"A grouping may have at most {MAX_PATTERN} characters."
        raise Invalid(message, code="max_length", attr="path_groupings")
    return groupings


def _project_rules(params: Parameters, project: InsightProject) -> Sequence[tuple[str, str]]:
    """Return the project's rules where they are asked for; those that ClickHouse could not apply do nothing."""
    if not params.flag("path_replacements"):
        return []
    usable = []
    for rule in project.path_cleaning_filters[:MAX_PATH_RULES]:
        try:
            usable.append(_rule(rule))
        except FilterError:
            continue
    return usable


def _local_rules(params: Parameters) -> Sequence[tuple[str, str]]:
    attr = "local_path_cleaning_filters"
    rules = params.structured_list(attr)
    if len(rules) > MAX_PATH_RULES:
        message = f"Ensure this field has no more than {MAX_PATH_RULES} elements."
        raise Invalid(message, code="max_length", attr=attr)
    found = []
    for number, rule in enumerate(rules):
        try:
            found.append(_rule(rule))
        except FilterError as error:
            raise Invalid(error.message, attr=f"{attr}__{number}") from error
    return found


def _rule(rule: Any) -> tuple[str, str]:  # noqa: ANN401 any JSON value
    r"""Return pattern and replacement of a rule, in which `\1` stands for what the first group matched."""
    if not isinstance(rule, Mapping) or not all(isinstance(rule.get(name), str) for name in ("regex", "alias")):
        raise FilterError("A path cleaning rule has a `regex` and an `alias`, both text.")
    pattern, alias = rule["regex"], rule["alias"]
    if len(alias) > MAX_PATTERN:
        message = f"The alias of a path cleaning rule may have at most {MAX_PATTERN} characters."
        raise FilterError(message)
    for text in (pattern, alias):
        _check_storable(text)
    check_pattern(pattern)
    groups = re2.compile(pattern).groups
    for found in _REFERENCE.finditer(alias):
        if found[1] in "0123456789" and int(found[1]) > groups:
            message = f"The alias refers to the group \\{found[1]}, and the regular expression has {groups}."
            raise FilterError(message)
    return pattern, alias


def _check_storable(text: str) -> None:
    if "\0" in text:
        raise FilterError("A path cleaning rule may not contain NUL characters.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise FilterError("A path cleaning rule may not contain lone surrogates.") from error
