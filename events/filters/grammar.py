"""The one grammar of property filters, as parsed JSON: list, group object, single filter or legacy map.

`read_filters` gives frozen dataclasses or a FilterError whose text may be shown. Two compilers read them:
`events.filters.clickhouse` and `core.filters.postgres`. docs/filters.md has the meaning of every operator.
Filters on persons (scope `person`) look at persons and cohorts; those on events look at more, and Postgres never
sees them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson

from events.filters.errors import FilterError
from events.filters.event_columns import check_column
from events.filters.members import (
    cohort_filter,
    flag,
    group_type_index,
    property_key,
    read_operands,
    read_path_rules,
)
from events.filters.operators import OPERATORS, Context, Operator, find_operator
from events.filters.predicates import Predicate
from events.filters.row_expressions import RowExpression
from events.filters.selectors import read_selector, tag_selector
from events.filters.sessions import check_property
from events.filters.tree import (
    EVERYTHING,
    NOTHING,
    CohortFilter,
    Filter,
    FilterGroup,
    HogQLFilter,
    Place,
    PropertyFilter,
    SelectorFilter,
    cohort_ids,
    leaves,
    property_keys,
)

__all__ = [
    "EVERYTHING",
    "NOTHING",
    "CohortFilter",
    "Filter",
    "FilterError",
    "FilterGroup",
    "HogQLFilter",
    "PropertyFilter",
    "SelectorFilter",
    "cohort_ids",
    "leaves",
    "property_keys",
    "read_filters",
]

MAX_DEPTH: Final = 10
# A filter is up to nine hundred elements of syntax, and ClickHouse reads statements of 50,000.
MAX_FILTERS: Final = 50
MAX_BYTES: Final = 1_000_000

COHORT_TYPES: Final = frozenset({"cohort", "static-cohort", "precalculated-cohort"})
ELEMENT_TEXTS: Final = frozenset({"text", "href"})
FEATURE: Final = "feature"
"""The type of filters on properties of events that SDKs set for feature flags."""
HOGQL: Final = "hogql"
HOGQL_VALUE: Final = "hogql_value"
"""The type of filters of ours, and not of callers, on the value that a HogQL expression has as text."""

type Scope = Literal["person", "event"]
type HogQLReader = Callable[[str, str], RowExpression]
"""Returns the expression in a text, for filters of one of the two types. Raises FilterError."""


@dataclass(slots=True)
class _Reader:
    scope: Scope
    context: Context
    hogql: HogQLReader | None = None
    filters: int = field(default=0)

    def item(self, item: object, depth: int) -> Filter | None:
        """Return a group or a filter; None for an empty group."""
        if not isinstance(item, Mapping):
            raise FilterError("Each filter must be an object.")
        if depth > MAX_DEPTH:
            message = f"Filters may be nested at most {MAX_DEPTH} deep."
            raise FilterError(message)
        if _is_group(item):
            return self.group(item, depth)
        if self.ignores(item):
            return None
        self.counted(1)
        return self.leaf(item)

    def counted(self, more: int) -> None:
        self.filters += more
        if self.filters > MAX_FILTERS:
            message = f"At most {MAX_FILTERS} filters are possible."
            raise FilterError(message)

    def group(self, group: Mapping[str, Any], depth: int) -> Filter | None:
        kind, members = group.get("type", "AND"), group["values"]
        if not isinstance(kind, str) or kind.upper() not in {"AND", "OR"}:
            raise FilterError("The `type` of a filter group must be AND or OR.")
        if not isinstance(members, list):
            raise FilterError("The `values` of a filter group must be a list.")
        with _at("values"):
            found = self.items(members, depth + 1)
        return _joined("OR" if kind.upper() == "OR" else "AND", found)

    def items(self, items: Sequence[object], depth: int) -> list[Filter | None]:
        """Return the members of a list."""
        if self.scope == "event":
            kept = [item for item in items if isinstance(item, Mapping) and (_is_group(item) or not self.ignores(item))]
            if len({_is_group(item) for item in kept}) > 1:
                raise FilterError("Property list cannot contain both PropertyGroup and Property objects")
        found = []
        for number, item in enumerate(items):
            with _at(str(number)):
                found.append(self.item(item, depth))
        return found

    def ignores(self, item: Mapping[str, Any]) -> bool:
        """Tell whether this is a filter on nothing, which lists of filters on events may have (spec 3.5)."""
        return self.scope == "event" and "key" not in item and not _is_of_cohort(item)

    def leaf(self, item: Mapping[str, Any]) -> Filter:
        kind = item.get("type")
        kind = self.scope if kind is None or (kind == FEATURE and self.scope == "event") else kind
        if "key" not in item and not _is_of_cohort(item):
            raise FilterError("A filter must have a `key`.")
        if not isinstance(kind, str):
            raise FilterError("The `type` of a filter must be text.")
        if kind in COHORT_TYPES:
            return cohort_filter(item)
        if kind == HOGQL:
            with _at("key"):
                return HogQLFilter(self.expression(item["key"], kind))
        if kind == self.scope:
            return self.property_filter(property_key(item["key"]), item, kind)
        if self.scope == "event":
            return self.event_leaf(kind, str(item["key"]) if kind == HOGQL_VALUE else property_key(item["key"]), item)
        raise _wrong_type(kind, self.scope)

    def event_leaf(self, kind: str, key: str, item: Mapping[str, Any]) -> Filter:
        """Read a filter on what belongs to an event."""
        match kind:
            case "hogql_value" | "person":
                return self.property_filter(key, item, kind)
            case "event_metadata":
                return self.property_filter(check_column(key), item, kind)
            case "group":
                index = group_type_index(item.get("group_type_index"))
                return self.property_filter(key, item, kind, group_type_index=index)
            case "session":
                return self.property_filter(check_property(key), item, kind)
            case "element" if key in ELEMENT_TEXTS:
                return self.property_filter(key, item, kind)
            case "element":
                return self.selector_filter(key, item)
            case _:
                message = f"Filters of type '{kind[:100]}' are not supported on events."
                raise FilterError(message)

    def expression(self, text: object, kind: str) -> RowExpression:
        """Return the HogQL expression that is the key of a filter."""
        if self.hogql is None:
            raise FilterError("Filters of type 'hogql' cannot be used here.")
        if not isinstance(text, str) or not text.strip():
            raise FilterError("The `key` of a filter of type hogql must be a HogQL expression.")
        return self.hogql(text, kind)

    def selector_filter(self, key: str, item: Mapping[str, Any]) -> Filter:
        words = {"selector": "selector", "tag_name": "tag"}.get(key)
        if words is None:
            message = f"Elements have no {key[:100]!r} to filter on, only selector, tag_name, text and href."
            raise FilterError(message)
        name = "exact" if item.get("operator") is None else item["operator"]
        operator = find_operator(name, negation=flag(item, "negation"))
        if name not in {"exact", "is_not"}:
            message = f'Filtering by element {words} only supports operators "equals" and "doesn\'t equal" currently.'
            raise FilterError(message)
        operands = [operand for operand in read_operands(operator, str(name), item) if operand.strip()]
        # Each selector is as much work as a filter.
        self.counted(max(len(operands) - 1, 0))
        read = tag_selector if key == "tag_name" else read_selector
        if not operands:
            return EVERYTHING if operator.negated else NOTHING
        return SelectorFilter(tuple(map(read, operands)), operator.negated)

    def property_filter(
        self,
        key: str,
        item: Mapping[str, Any],
        kind: Place | Literal["hogql_value"],
        *,
        group_type_index: int | None = None,
    ) -> Filter:
        name = "exact" if item.get("operator") is None else item["operator"]
        operator = find_operator(name, negation=flag(item, "negation"))
        operands = read_operands(operator, str(name), item)
        if not operands and operator.takes != "nothing":
            return NOTHING if kind == "element" and not (operator.negated or operator.opposite) else EVERYTHING
        if not operator.together or operator.costly:
            # Each of these values is as much work as a filter.
            self.counted(len(operands) - 1)

        def on(predicate: Predicate, *, negated: bool = False) -> Filter:
            if kind == "hogql_value":
                return HogQLFilter(self.expression(key, kind), predicate, negated)
            return PropertyFilter(key, predicate, negated, kind, group_type_index)

        if operator.together:
            return on(self.built(operator, str(name), operands), negated=operator.negated)
        single = [on(self.built(operator, str(name), (one,))) for one in operands]
        return _joined("AND" if operator.opposite else "OR", single) or EVERYTHING

    def built(self, operator: Operator, name: str, operands: tuple[str, ...]) -> Predicate:
        try:
            return operator.build(operands, self.context)
        except FilterError:
            raise
        except ValueError as error:
            message = f"{name} operator requires numeric values"
            raise FilterError(message) from error


def read_filters(
    value: object,
    *,
    scope: Scope = "person",
    now: datetime | None = None,
    path_rules: Sequence[Mapping[str, Any]] = (),
    hogql: HogQLReader | None = None,
) -> Filter | None:
    """Return the filter that parsed JSON describes; None when it restricts nothing.

    The scope is also the type of filters that name none. In scope `event`, members of lists that are no groups and
    have no `key` are left out, as PostHog does; whatever else is wrong is a FilterError in both.
    `now` is what relative dates count from; `path_rules` are the project's `path_cleaning_filters`
    (`{"regex", "alias"}`), which `is_cleaned_path_exact` applies to both sides. `hogql` reads the expressions of
    filters of type `hogql`, which are refused without it.
    """
    reader = _Reader(scope, Context(datetime.now(UTC) if now is None else now, read_path_rules(path_rules)), hogql)
    if value is None:
        return None
    _check_size(value)
    if isinstance(value, Mapping):
        wanted = reader.item(value, 0) if _is_item(value) else _legacy(reader, value)
    elif isinstance(value, list):
        wanted = _joined("AND", reader.items(value, 1))
    else:
        raise FilterError("Filters must be a list, a group object or a map of keys to values.")
    return None if wanted == EVERYTHING else wanted


@contextmanager
def _at(name: str) -> Iterator[None]:
    """Put a name before the path of what is wrong in the block."""
    try:
        yield
    except FilterError as error:
        error.path = (name, *error.path)
        raise


def _is_item(value: Mapping[str, Any]) -> bool:
    if "key" in value:
        return not value.keys().isdisjoint({"value", "operator", "type"})
    # A legacy map may have a property named `values`, but not one that is a list of objects.
    members = value.get("values")
    return _is_of_cohort(value) or (
        isinstance(members, list) and all(isinstance(member, Mapping) for member in members)
    )


def _is_group(item: Mapping[str, Any]) -> bool:
    return "values" in item and "key" not in item


def _is_of_cohort(item: Mapping[str, Any]) -> bool:
    return isinstance(item.get("type"), str) and item["type"] in COHORT_TYPES


def _legacy(reader: _Reader, value: Mapping[str, Any]) -> Filter | None:
    """Read `{"key": value, "key__operator": value}`: all must hold."""
    items = []
    for name, operand in value.items():
        key, _, operator = name.rpartition("__")
        item = {"key": key, "operator": operator} if key and operator in OPERATORS else {"key": name}
        items.append(reader.item({**item, "value": operand}, 1))
    return _joined("AND", items)


def _joined(kind: Literal["AND", "OR"], members: Sequence[Filter | None]) -> Filter | None:
    present = tuple(member for member in members if member is not None)
    if not present:
        return None
    if kind == "OR" and EVERYTHING in present:
        return EVERYTHING
    if kind == "AND":
        present = tuple(member for member in present if member != EVERYTHING)
    return present[0] if len(present) == 1 else FilterGroup(kind, present)


def _wrong_type(kind: str, scope: Scope) -> FilterError:
    return FilterError(f"The '{kind[:100]}' property filter does not work in '{scope}' scope")


def _check_size(value: object) -> None:
    try:
        size = len(orjson.dumps(value))
    except (TypeError, RecursionError) as error:
        raise FilterError("Filters must be JSON, and not nested too deeply.") from error
    if size > MAX_BYTES:
        message = f"Filters may have at most {MAX_BYTES} bytes."
        raise FilterError(message)
