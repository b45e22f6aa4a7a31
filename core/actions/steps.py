"""The steps of actions: what each asks of an event, checked when they are written and compiled when they are used.

A step is an object with PostHog's ten keys; an event matches an action when it matches one of its steps, and a step
when it passes all that the step asks (insight_actors.md 4.3).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from core.api.errors import Invalid
from core.api.json import dumps
from core.api.params import text_value
from core.filters.hogql import hogql_reader
from core.filters.problems import invalid_filter
from core.filters.reading import check_cohorts, path_rules_for
from core.filters.storing import types_known
from events.filters.grammar import Filter, FilterError, FilterGroup, HogQLReader, cohort_ids, read_filters
from events.insights.entities import EventMatch

MAX_STEPS: Final = 50
MAX_TEXT: Final = 1000
MAX_BYTES: Final = 100_000
MATCHINGS: Final = ("contains", "regex", "exact")
_TEXTS: Final = ("event", "selector", "tag_name", "text", "href", "url")
# PostHog's defaults, and the order in which it answers.
_EMPTY: Final[Mapping[str, Any]] = {
    "event": None,
    "properties": None,
    "selector": None,
    "tag_name": None,
    "text": None,
    "text_matching": None,
    "href": None,
    "href_matching": None,
    "url": None,
    "url_matching": "contains",
}
_OPERATORS: Final = {"contains": "icontains", "regex": "regex", "exact": "exact"}
_META: Final = re.compile(r"[\\.+*?()|\[\]{}^$]")
_MANY: Final = re.compile("%+")

type Rules = Sequence[Mapping[str, Any]]


def steps_read(value: object, *, team_id: int) -> list[dict[str, Any]]:
    """Return the steps as they are stored; what PostHog does not know is left out.

    `value` is JSON that can be stored. Raises Invalid whose attr names the step and field: `steps__0__url`. Must run in
    `stores_filters`.
    """
    if not isinstance(value, list):
        raise Invalid("Expected a list of steps.", attr="steps")
    if len(value) > MAX_STEPS:
        message = f"Ensure this field has no more than {MAX_STEPS} elements."
        raise Invalid(message, code="max_length", attr="steps")
    steps = [_read(step, f"steps__{number}") for number, step in enumerate(value)]
    if len(dumps(steps)) > MAX_BYTES:
        message = f"The steps may not exceed {MAX_BYTES} bytes."
        raise Invalid(message, code="max_length", attr="steps")
    rules, hogql = path_rules_for(steps, team_id=team_id), hogql_reader(steps, team_id=team_id, storing=True)
    named: set[int] = set()
    for number, step in enumerate(steps):
        for field, condition in _conditions(step):
            attr = f"steps__{number}__{field}"
            wanted = _checked(condition, attr, rules, hogql)
            named |= cohort_ids(wanted) if wanted is not None else set()
    # A statement has room for the conditions of one filter, so that is what all steps together may have.
    _checked(_any_of(steps), "steps", rules, hogql)
    check_cohorts(named, team_id=team_id, attr="steps")
    types_known()
    return steps


def steps_matches(
    steps: Iterable[Mapping[str, Any]], *, now: datetime, path_rules: Rules, hogql: HogQLReader
) -> tuple[EventMatch, ...]:
    """Return one match for each stored step.

    Raises FilterError when a project's path rules cannot be used, or HogQL names what is no more.
    """
    return tuple(
        EventMatch(step["event"] or None, _joined(step, now=now, path_rules=path_rules, hogql=hogql)) for step in steps
    )


def _read(step: object, attr: str) -> dict[str, Any]:
    if not isinstance(step, Mapping):
        message = f"Invalid data. Expected a dictionary, but got {type(step).__name__}."
        raise Invalid(message, attr=attr)
    given = {name: step[name] for name in _EMPTY if name in step}
    for name in _TEXTS:
        if given.get(name) is not None:
            given[name] = text_value(given[name], f"{attr}__{name}", MAX_TEXT)
    for name in ("text_matching", "href_matching", "url_matching"):
        if given.get(name) is not None and given[name] not in MATCHINGS:
            message = f'"{str(given[name])[:100]}" is not a valid choice.'
            raise Invalid(message, code="invalid_choice", attr=f"{attr}__{name}")
    properties = given.get("properties")
    if properties is not None and not isinstance(properties, list):
        message = f'Expected a list of items but got type "{type(properties).__name__}".'
        raise Invalid(message, code="not_a_list", attr=f"{attr}__properties")
    return {**_EMPTY, **given}


def _conditions(step: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (field, filters as JSON) of all that a step asks besides the event's name; empty texts ask nothing."""
    if step["url"]:
        yield "url", _url(step["url"], step["url_matching"])
    for field in ("selector", "tag_name"):
        if step[field]:
            yield field, {"type": "element", "key": field, "operator": "exact", "value": step[field]}
    for field in ("text", "href"):
        if step[field]:
            operator = _OPERATORS[step[f"{field}_matching"] or "exact"]
            yield field, {"type": "element", "key": field, "operator": operator, "value": step[field]}
    if step["properties"]:
        yield "properties", step["properties"]


def _url(url: str, matching: str | None) -> dict[str, Any]:
    operator, value = _OPERATORS[matching or "contains"], url
    if operator == "icontains":
        # PostHog compares with LIKE here: case matters, and % and _ stand for any text and any character.
        operator, value = "regex", "(?s)" + _MANY.sub(".*", _META.sub(r"\\\g<0>", url)).replace("_", ".")
    return {"type": "event", "key": "$current_url", "operator": operator, "value": value}


def _all_of(step: Mapping[str, Any]) -> dict[str, Any]:
    # Groups and filters may not stand side by side.
    lists = [one if isinstance(one, list) else [one] for _, one in _conditions(step)]
    return {"type": "AND", "values": [{"type": "AND", "values": one} for one in lists]}


def _any_of(steps: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {"type": "OR", "values": [_all_of(step) for step in steps]}


def _checked(condition: object, attr: str, rules: Rules, hogql: HogQLReader) -> Filter | None:
    try:
        return read_filters(condition, scope="event", path_rules=rules, hogql=hogql)
    except FilterError as error:
        raise invalid_filter(error, attr=attr) from error


def _joined(step: Mapping[str, Any], *, now: datetime, path_rules: Rules, hogql: HogQLReader) -> Filter | None:
    wanted = [
        read_filters(condition, scope="event", now=now, path_rules=path_rules, hogql=hogql)
        for _, condition in _conditions(step)
    ]
    present = tuple(one for one in wanted if one is not None)
    if not present:
        return None
    return present[0] if len(present) == 1 else FilterGroup("AND", present)
