"""`breakdownFilter` of trends: properties, histograms of numbers, cohorts."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, LiteralString, cast

import re2

from core.actions.hogql import actions_named
from core.api.errors import Invalid
from core.filters.hogql import MAX_CHARACTERS, read_expression
from core.insights.filters import read_filter
from core.insights.project import InsightProject
from core.query.reading import BadNode, Fields
from core.query.runners.insights.common import refuse, unsupported
from core.tenancy.statements import fetch_rows
from events.filters.errors import FilterError
from events.filters.grammar import HOGQL, HOGQL_VALUE, Filter
from events.filters.members import MAX_KEY_LENGTH
from events.filters.sessions import check_property
from events.filters.values import NUMBER_PATTERN
from events.insights.breakdowns import MISSING, OTHER, Bins, Dimension, Place, Values

NAMES: Final = (
    "breakdown",
    "breakdown_type",
    "breakdowns",
    "breakdown_limit",
    "breakdown_normalize_url",
    "breakdown_group_type_index",
    "breakdown_histogram_bin_count",
    "breakdown_hide_other_aggregation",
    "breakdown_path_cleaning",
)
PLACES: Final = ("event", "person", "group", "session")
EVERYBODY: Final = "all"
DEFAULT_LIMIT: Final = 25
MAX_LIMIT: Final = 1000
MAX_DIMENSIONS: Final = 3
MAX_COHORTS: Final = 25
MAX_BINS: Final = 100
_TYPES: Final = (*PLACES, "cohort", "hogql", "event_metadata", "data_warehouse",
                 "data_warehouse_person_property", "revenue_analytics", "element")  # fmt: skip
_COHORTS: Final[LiteralString] = "SELECT id, name FROM core_cohort WHERE team_id = %s AND id = ANY(%s) AND NOT deleted"
# So that the largest number lies in the last bin, whose high end is outside.
_ABOVE: Final = 0.01
_EXACT: Final = 1e13
_NUMBER: Final = re.compile("[0-9]{1,9}", re.ASCII)

type Key = str | int | list[str]
"""A value as answers show it: a text, the id of a cohort (or `all`), or a text for each property."""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """What series are broken down by: properties, or cohorts (id and name, None and `all users` for everybody).

    `bins` are the numbers of bins of each property, None where its values are texts. `several` says that `breakdowns`
    was given, whose values are lists.
    """

    dimensions: tuple[Dimension, ...] = ()
    bins: tuple[int | None, ...] = ()
    cohorts: tuple[tuple[int | None, str], ...] = ()
    limit: int = DEFAULT_LIMIT
    hide_other: bool = False
    several: bool = False

    def values(self, bins: Sequence[Bins | None]) -> Values:
        """Return what the statement needs, with the ends of the bins."""
        return Values(
            tuple(replace(one, bins=ends) for one, ends in zip(self.dimensions, bins, strict=True)), self.limit
        )

    def shown(self, value: tuple[str, ...]) -> Key:
        """Return a value as answers show it."""
        return list(value) if self.several else value[0]


def read_breakdown(fields: Fields, project: InsightProject) -> Breakdown | None:
    """Return `breakdownFilter`, None where there is nothing to break down by. Raises BadNode and Invalid."""
    given = fields.below("breakdownFilter")
    if given is None:
        return None
    given.only(*NAMES)
    refuse(given, "breakdown_path_cleaning")
    kind = given.choice("breakdown_type", _TYPES) or "event"
    limit = given.integer("breakdown_limit", least=1, most=MAX_LIMIT) or DEFAULT_LIMIT
    hide = given.flag("breakdown_hide_other_aggregation")
    several = given.values.get("breakdowns")
    if several not in (None, []):
        return _several(given, several, project, limit=limit, hide=hide)
    chosen = given.values.get("breakdown")
    if chosen in (None, "", []):
        return None
    if kind == "cohort":
        return Breakdown(cohorts=_cohorts(given, chosen, project))
    if isinstance(chosen, list):
        if len(chosen) > 1:
            raise unsupported("several properties in `breakdown`; name them in `breakdowns`", given, "breakdown")
        chosen = chosen[0]
    dimension = _dimension(given, kind, chosen, project, prefix="breakdown_")
    bins = given.integer("breakdown_histogram_bin_count", least=1, most=MAX_BINS)
    return Breakdown(dimensions=(dimension,), bins=(bins,), limit=limit, hide_other=hide)


def bins_of(ends: Sequence[float]) -> Bins:
    """Return the bins between ends that rise; one bin where there is one end, none where there is none."""
    lows = [_floor(end) for end in ends]
    rising = list(dict.fromkeys(lows))
    if len(rising) == 1:
        rising.append(rising[0])
    if rising:
        rising[-1] = round(rising[-1] + _ABOVE, 2)
    pairs = list(pairwise(rising))
    return Bins(
        names=tuple(f"[{low},{high}]" for low, high in pairs),
        lows=tuple(low for low, _ in pairs),
        highs=tuple(high for _, high in pairs),
    )


def value_filter(
    breakdown: Breakdown, value: tuple[str, ...], *, project: InsightProject, others: Sequence[tuple[str, ...]]
) -> Filter | None:
    """Return what the events of a value must be; `others` are the values that stay, which OTHER is none of."""
    if value == (OTHER,) * len(value):
        wanted: Any = {"type": "AND", "values": [
            {"type": "OR", "values": [
                {"type": "OR", "values": _unlike(one, part)}
                for one, part in zip(breakdown.dimensions, other, strict=True)
            ]}
            for other in (*others, *([(MISSING,)] if len(value) == 1 else []))
        ]}  # fmt: skip
    else:
        wanted = {"type": "AND", "values": [
            _like(one, part, bins) for one, part, bins in zip(breakdown.dimensions, value, breakdown.bins, strict=True)
        ]}  # fmt: skip
    return read_filter(wanted, attr="breakdown", project=project, values=True)


def _like(one: Dimension, value: str, bins: int | None) -> dict[str, Any]:
    place = _place(one)
    if value == MISSING and bins is not None:
        return {"type": "OR", "values": [{**place, "operator": "not_regex", "value": NUMBER_PATTERN}]}
    if value == MISSING:
        conditions = [{"operator": "is_not_set"}, {"operator": "exact", "value": ""}]
        return {"type": "OR", "values": [{**place, **condition} for condition in conditions]}
    if bins is not None:
        low, high = _ends(value)
        ends = [{"operator": "gte", "value": low}, {"operator": "lt", "value": high}]
        return {"type": "AND", "values": [{**place, **end} for end in ends]}
    if one.normalize_url:
        return {"type": "AND", "values": [{**place, "operator": "regex", "value": _with_tail(value)}]}
    return {"type": "AND", "values": [{**place, "operator": "exact", "value": [value]}]}


def _unlike(one: Dimension, value: str) -> list[dict[str, Any]]:
    place = _place(one)
    if value == MISSING:
        return [
            {"type": "AND", "values": [{**place, "operator": "is_set"}, {**place, "operator": "is_not", "value": [""]}]}
        ]
    if one.normalize_url:
        return [{**place, "operator": "not_regex", "value": _with_tail(value)}]
    return [{**place, "operator": "is_not", "value": [value]}]


def _with_tail(value: str) -> str:
    return f"^{'' if value == '/' else re2.escape(value)}[/?#]{'+' if value == '/' else '*'}$"


def _ends(value: str) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in value.strip("[]").split(","))
    except ValueError:
        low = high = math.nan
    # Of NaN neither is less nor equal.
    if not -math.inf < low <= high < math.inf:
        raise Invalid("The value of a histogram's bin is `[low,high]`.", attr="breakdown")
    return low, high


def _place(one: Dimension) -> dict[str, Any]:
    if one.expression is not None:
        return {"key": one.key, "type": HOGQL_VALUE}
    of_group = {"group_type_index": one.group_type_index} if one.place == "group" else {}
    return {"key": one.key, "type": one.place, **of_group}


def _several(given: Fields, several: Any, project: InsightProject, *, limit: int, hide: bool) -> Breakdown:  # noqa: ANN401 any JSON value
    if not isinstance(several, list) or len(several) > MAX_DIMENSIONS:
        message = f"Input should be a list of at most {MAX_DIMENSIONS} items"
        raise BadNode(message, (*given.path, "breakdowns"))
    dimensions, bins = [], []
    for number, item in enumerate(several):
        path = (*given.path, "breakdowns", number)
        if not isinstance(item, dict):
            raise BadNode("Input should be an object", path)
        one = Fields(item, path).only("property", "type", "normalize_url", "group_type_index", "histogram_bin_count")
        kind = one.choice("type", _TYPES) or "event"
        if kind == "cohort":
            raise unsupported("cohorts among several breakdowns", one, "type")
        key = item.get("property")
        dimensions.append(_dimension(one, kind, key, project))
        bins.append(one.integer("histogram_bin_count", least=1, most=MAX_BINS))
    return Breakdown(tuple(dimensions), tuple(bins), limit=limit, hide_other=hide, several=True)


def _dimension(fields: Fields, kind: str, key: object, project: InsightProject, *, prefix: str = "") -> Dimension:
    """Return a property; the members beside it have names with a prefix where `breakdown` gives it."""
    if kind not in (*PLACES, HOGQL):
        what = f"breakdowns of the type {kind}"
        where = f"{prefix}type"
        raise unsupported(what, fields, where)
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    name = prefix.rstrip("_") or "property"
    longest = MAX_CHARACTERS if kind == HOGQL else MAX_KEY_LENGTH
    text = Fields({name: key}, fields.path).required_text(name, longest=longest, blank=False)
    group = f"{prefix}group_type_index"
    index = fields.integer(group, most=4)
    if kind == "group" and index is None:
        raise fields.missing(group)
    normalize = fields.flag(f"{prefix}normalize_url")
    if kind == HOGQL:
        expression = read_expression(text, team_id=project.team_id, attr=fields.attr(name), actions=actions_named)
        return Dimension("event", text, normalize_url=normalize, expression=expression)
    if kind == "session":
        try:
            check_property(text)
        except FilterError as error:
            raise Invalid(error.message, attr=fields.attr(name)) from error
    return Dimension(cast("Place", kind), text, index if kind == "group" else None, normalize)


def _cohorts(given: Fields, chosen: object, project: InsightProject) -> tuple[tuple[int | None, str], ...]:
    listed = chosen if isinstance(chosen, list) else [chosen]
    path = (*given.path, "breakdown")
    if len(listed) > MAX_COHORTS:
        message = f"List should have at most {MAX_COHORTS} items"
        raise BadNode(message, path)
    numbers: list[int | None] = []
    for one in listed:
        number = int(one) if isinstance(one, str) and _NUMBER.fullmatch(one) else one
        if number in (EVERYBODY, 0):
            numbers.append(None)
        elif isinstance(number, int) and not isinstance(number, bool) and 0 < number < 2**31:
            numbers.append(number)
        else:
            raise BadNode("Input should be the id of a cohort, or 'all'", path)
    names = dict(fetch_rows(_COHORTS, [project.team_id, [one for one in numbers if one is not None]]))
    for number in numbers:
        if number is not None and number not in names:
            message = f"There is no cohort {number} in this project."
            raise Invalid(message, attr=given.attr("breakdown"))
    return tuple((one, "all users" if one is None else names[one] or "") for one in dict.fromkeys(numbers))


def _floor(number: float) -> float:
    return math.floor(number * 100) / 100 if abs(number) < _EXACT else number
