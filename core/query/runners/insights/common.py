"""What the nodes of all insights have in common: dates, filters, series, and how they are run."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Final, LiteralString, cast

from core.api.errors import Invalid
from core.insights.dates import read_dates, read_moment
from core.insights.entities import read_entity_list
from core.insights.parameters import Parameters
from core.insights.scope import read_scope
from core.persons.date_range import EVERYTHING, DateRange
from core.query.places import part_of
from core.query.reading import BadNode, Fields
from core.query.runners.base import Json, QueryContext, Runner
from core.query.runners.insights import calendar
from core.query.runners.insights.places import own_places
from core.tenancy.statements import fetch_rows
from events.insights.entities import Entity
from events.insights.intervals import INTERVALS, Interval
from events.insights.source import EventScope
from events.insights.statement import one_run

MAX_SERIES: Final = 26
ALL_EVENTS: Final = "All events"
BASE: Final = (
    "dateRange",
    "filterTestAccounts",
    "properties",
    "aggregation_group_type_index",
    "samplingFactor",
    "dataColorTheme",
)
"""The members that every insight has."""
_SERIES: Final = (
    "name",
    "custom_name",
    "math",
    "math_multiplier",
    "math_property",
    "math_property_type",
    "math_property_revenue_currency",
    "math_hogql",
    "math_group_type_index",
    "properties",
    "fixedProperties",
    "optionalInFunnel",
    "limit",
    "orderBy",
)
_UNSUPPORTED_SERIES: Final = (
    "math_multiplier",
    "math_property_revenue_currency",
    "math_hogql",
    "optionalInFunnel",
    "limit",
    "orderBy",
)
_NAMES: Final[LiteralString] = "SELECT id, name FROM core_action WHERE team_id = %s AND id = ANY(%s)"
_LONGEST: Final = 400


@dataclass(frozen=True, slots=True)
class Series:
    """One member of `series`. `label` is the event's or action's name, None for any event."""

    entity: Entity
    label: str | None
    custom_name: str | None
    order: int

    @property
    def name(self) -> str:
        """Return what answers call the series."""
        return ALL_EVENTS if self.label is None else self.label


class InsightRunner(Runner):
    """A query over the events of a range. Statements of one run share its seconds."""

    names: ClassVar[tuple[str, ...]]
    """The kind's own members beside BASE."""

    def __init__(self, node: Mapping[str, Json], context: QueryContext) -> None:
        """Read and check the whole node; errors lead to its members."""
        super().__init__(node, context)
        self.fields = Fields(node, context.path).only(*BASE, *self.names)
        self.project = context.project
        self.parameters = _parameters(self.fields)
        with own_places(self.fields):
            self.read()

    @abstractmethod
    def read(self) -> None:
        """Read and check what the kind has of its own."""

    def run(self) -> dict[str, Json]:
        """Ask ClickHouse; return `results` and what the kind has beside them."""
        mark = f"hogql:{self.context.team.id}:{self.context.query_id}"
        with own_places(self.fields), one_run(seconds=self.context.seconds, mark=mark):
            return self.answer()

    @abstractmethod
    def answer(self) -> dict[str, Json]:
        """Return the members of the answer."""

    def read_interval(self) -> Interval:
        """Return `interval`, and remember it for how long the answer is fresh."""
        name = self.fields.choice("interval", ("minute", "second", "quarter", *INTERVALS)) or "day"
        if name not in INTERVALS:
            what = f"the interval {name}"
            raise unsupported(what, self.fields, "interval")
        interval = cast("Interval", name)
        self.interval = interval
        return interval

    def read_dates(self, interval: Interval | None, *, rounded: bool = False, always: bool = False) -> DateRange:
        """Return `dateRange` (insight_actors.md 4.2), and remember its end. Text that is no date is refused."""
        self._check_dates()
        params = self.parameters.replaced(interval=interval)
        dates = read_dates(params, self.project, now=self.context.now, rounded=rounded, always=always)
        self.date_to = dates.until
        return dates

    def scope(self, dates: DateRange, *, group_type_index: int | None = None) -> EventScope:
        """Return the events of a range that pass the query's filters."""
        return read_scope(
            self.parameters, self.project, now=self.context.now, dates=dates, group_type_index=group_type_index
        )

    def read_group_type_index(self) -> int | None:
        """Return `aggregation_group_type_index`: whose groups are the actors, None for persons."""
        return self.fields.integer("aggregation_group_type_index", most=4)

    def resolved(self, dates: DateRange) -> dict[str, str]:
        """Return the range as answers show it."""
        zone = self.project.timezone
        return {"date_from": calendar.iso(dates.since, zone), "date_to": calendar.iso(dates.until, zone)}

    def _check_dates(self) -> None:
        given = self.fields.below("dateRange")
        if given is None:
            return
        for name in ("date_from", "date_to"):
            text = given.text(name, longest=_LONGEST)
            if text and not (text == EVERYTHING and name == "date_from"):
                read_moment(text, self.project, now=self.context.now, attr=given.attr(name))


def read_series(
    fields: Fields, runner: InsightRunner, *, name: str = "series", most: int = MAX_SERIES, more: Sequence[str] = ()
) -> list[Series]:
    """Return the series of a node, at least one; `more` as in `read_series_node`. Raises BadNode and Invalid."""
    items = fields.values.get(name)
    if not isinstance(items, list) or not items:
        raise BadNode("Input should be a list of at least 1 item", (*fields.path, name))
    if len(items) > most:
        message = f"List should have at most {most} items"
        raise BadNode(message, (*fields.path, name))
    nodes = [read_series_node(item, (*fields.path, name, number), *more) for number, item in enumerate(items)]
    return resolve_series(nodes, runner, attr=fields.attr(name))


def resolve_series(nodes: Sequence[Fields], runner: InsightRunner, *, attr: str) -> list[Series]:
    """Return the series of checked nodes, with their actions looked up."""
    try:
        read = read_entity_list([entity_of(node) for node in nodes], attr=attr, project=runner.project)
    except Invalid as error:
        error.attr = _in_series(error.attr, attr, nodes)
        raise
    entities = [entity for entity, _ in read]
    ids = [entity.id for entity in entities if entity.type == "actions"]
    named = dict(fetch_rows(_NAMES, [runner.project.team_id, ids])) if ids else {}
    return [
        Series(
            entity=entity,
            label=named.get(entity.id) if entity.type == "actions" else cast("str | None", entity.id),
            custom_name=node.text("custom_name", longest=_LONGEST),
            order=order,
        )
        for order, (entity, node) in enumerate(zip(entities, nodes, strict=True))
    ]


def _in_series(attr: str | None, name: str, nodes: Sequence[Fields]) -> str | None:
    """Return the place of a mistake in the filters of one of the nodes, which are read together as `properties`."""
    if attr is None or not attr.startswith(f"{name}__"):
        return attr
    number, _, *below = attr.removeprefix(f"{name}__").split("__")
    node = nodes[int(number)]
    own, fixed = (node.values.get(one) for one in ("properties", "fixedProperties"))
    is_fixed, inside = part_of(own, fixed, below, one_list=False)
    return node.attr("__".join(("fixedProperties" if is_fixed else "properties", *inside)))


def read_series_node(item: Json, path: tuple[str | int, ...], *more: str) -> Fields:
    """Check one entity node; `more` are members that it may have beside those of all."""
    if not isinstance(item, Mapping):
        raise BadNode("Input should be an object", path)
    fields = Fields({**item, "kind": _kind_of(item)} if item.get("kind") is None else item, path)
    kind = fields.required_text("kind")
    if kind not in {"EventsNode", "ActionsNode"}:
        if kind in {"DataWarehouseNode", "FunnelsDataWarehouseNode", "LifecycleDataWarehouseNode", "GroupNode"}:
            what = f"series of the kind {kind}"
            raise unsupported(what, fields, "kind")
        raise BadNode("Input should be 'EventsNode' or 'ActionsNode'", (*path, "kind"))
    fields.only(*_SERIES, *more, "event" if kind == "EventsNode" else "id")
    refuse(fields, *(name for name in _UNSUPPORTED_SERIES if name not in more))
    if fields.values.get("math_property_type") not in (None, "event_properties", "event", "numerical_event_properties"):
        raise unsupported("maths of properties that are not the event's", fields, "math_property_type")
    for name in ("name", "custom_name", "math", "math_property"):
        fields.text(name, longest=_LONGEST)
    if kind == "ActionsNode" and fields.integer("id") is None:
        raise fields.missing("id")
    return fields


def _kind_of(item: Mapping[str, Json]) -> str:
    """Return the kind of an entity node that does not say it, as PostHog does."""
    number = item.get("id")
    is_action = "event" not in item and isinstance(number, int) and not isinstance(number, bool)
    return "ActionsNode" if is_action else "EventsNode"


def entity_of(fields: Fields, order: int | None = None) -> dict[str, Any]:
    """Return a checked entity node as the readers of entities know it; `order` is its place among all of them."""
    filters = [one for name in ("properties", "fixedProperties") if (one := fields.filters(name))]
    is_action = fields.values["kind"] == "ActionsNode"
    return {
        "id": fields.integer("id") if is_action else fields.text("event", longest=_LONGEST) or None,
        "type": "actions" if is_action else "events",
        "properties": _joined(filters),
        "math": fields.text("math"),
        "math_property": fields.text("math_property"),
        "math_group_type_index": fields.integer("math_group_type_index", most=4),
        "order": order,
    }


def _joined(filters: Sequence[Json]) -> Json:
    if len(filters) < 2:  # noqa: PLR2004 nothing to join
        return filters[0] if filters else None
    groups = [{"type": "AND", "values": one} if isinstance(one, list) else one for one in filters]
    return {"type": "AND", "values": groups}


def _parameters(fields: Fields) -> Parameters:
    """Return what the readers of insights know under older names."""
    dates = fields.below("dateRange")
    given = dates.only("date_from", "date_to", "explicitDate") if dates is not None else Fields({})
    return Parameters(
        {
            "date_from": given.text("date_from", longest=_LONGEST),
            "date_to": given.text("date_to", longest=_LONGEST),
            "explicit_date": given.flag("explicitDate"),
            "properties": fields.filters("properties"),
            "filter_test_accounts": fields.flag("filterTestAccounts"),
            "sampling_factor": fields.number("samplingFactor"),
        }
    )


def refuse(fields: Fields, *names: str) -> None:
    """Raise Invalid for members that this server knows and does not support; empty and false ones are none."""
    for name in names:
        if fields.values.get(name) not in (None, False, "", [], {}):
            raise unsupported(name, fields, name)


def unsupported(what: str, fields: Fields, name: str) -> Invalid:
    """Return the error for an option that is not supported."""
    message = f"Not supported: {what}."
    return Invalid(message, attr=fields.attr(name))


def scaled(number: float, sampling: float | None) -> float:
    """Return what a count of a sample stands for among all events."""
    return number if sampling is None else float(round(number / sampling))


def plain(number: float) -> float:
    """Return a number as JSON should show it: whole ones without a point."""
    return int(number) if float(number).is_integer() and abs(number) < 2**53 else number


TICK: Final = timedelta(microseconds=1)
