"""Who is behind a data point: InsightActorsQuery, FunnelsActorsQuery and StickinessActorsQuery, sources of others."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, cast

from core.api.errors import Invalid
from core.insights.dates import read_moment
from core.insights.funnel import read_funnel
from core.query.reading import BadNode, Fields
from core.query.runners.base import Json, QueryContext, Runner
from core.query.runners.insights.breakdown import value_filter
from core.query.runners.insights.calendar import Span, begin
from core.query.runners.insights.funnels import FunnelsRunner
from core.query.runners.insights.lifecycle import LifecycleRunner
from core.query.runners.insights.paths import PathsRunner
from core.query.runners.insights.places import OF_ACTORS, own_places
from core.query.runners.insights.retention import RetentionRunner
from core.query.runners.insights.stickiness import StickinessRunner
from core.query.runners.insights.trends import TrendsRunner, Variant, groups_of
from events.filters.grammar import Filter
from events.insights.breakdowns import OTHER
from events.insights.funnel import FunnelQuery, Reached, funnel_page
from events.insights.lifecycle import STATUSES, Status, lifecycle_page
from events.insights.paths import paths_page
from events.insights.retention_table import SEPARATOR
from events.insights.retention_values import row_page
from events.insights.rows import ActorRow
from events.insights.statement import one_run
from events.insights.stickiness import OPERATORS, Operator, stickiness_page
from events.insights.trends import PROPERTY_MATHS, TrendsQuery, trends_page
from events.insights.trends_series import trends_values

MAX_ACTORS: Final = 10_000
"""Of one page."""
KINDS: Final = ("InsightActorsQuery", "FunnelsActorsQuery", "StickinessActorsQuery")
"""The kinds of source that `read_actors` takes."""
_INSIGHT: Final = (
    "source", "includeRecordings", "day", "status", "interval", "series", "breakdown", "compare", "operator",
)  # fmt: skip
_FUNNEL: Final = (
    "source", "includeRecordings", "funnelStep", "funnelCustomSteps", "funnelStepBreakdown", "funnelTrendsDropOff",
    "funnelTrendsEntrancePeriodStart",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ActorRows:
    """A page of actors: UUIDs of persons, keys of groups where a type is set, or values of HogQL as texts."""

    rows: list[ActorRow]
    group_type_index: int | None = None


class _ActorsRunner(Runner):
    """Answers a source on its own: rows of an actor and its value at the data point, null where there is none.

    Of retention, rows of an actor, its appearances, and 1 or 0 for each period.
    """

    def __init__(self, node: Mapping[str, Json], context: QueryContext) -> None:
        """Read and check the whole node."""
        super().__init__(node, context)
        self._source = read_actors(node, context, path=("query",))

    def run(self) -> dict[str, Json]:
        """Return the first MAX_ACTORS actors."""
        with one_run(seconds=self.context.seconds, mark=f"hogql:{self.context.team.id}:{self.context.query_id}"):
            rows = self._source.page(limit=MAX_ACTORS + 1, offset=0, recordings=False).rows
        of_persons = self._source.group_type_index is None and not self._source.of_values
        columns = {"value_at_data_point": "Nullable(Float64)"}
        periods = self._source.periods
        if periods:
            columns = {"appearances": "Array(UInt8)", **dict.fromkeys(periods, "Int64")}
        return {
            "results": [_shown(row, periods) for row in rows[:MAX_ACTORS]],
            "columns": ["actor_id", *columns],
            "types": ["UUID" if of_persons else "String", *columns.values()],
            "hasMore": len(rows) > MAX_ACTORS,
            "limit": MAX_ACTORS,
            "offset": 0,
        }


class InsightActorsRunner(_ActorsRunner):
    """Reads and answers an InsightActorsQuery."""

    kind = "InsightActorsQuery"


class FunnelsActorsRunner(_ActorsRunner):
    """Reads and answers a FunnelsActorsQuery."""

    kind = "FunnelsActorsQuery"


class ActorsSource(ABC):
    """One data point of an insight. Reading it checks all of it."""

    group_type_index: int | None = None
    of_values: bool = False
    """Whether the actors are texts that name neither persons nor groups."""
    periods: tuple[str, ...] = ()
    """Names of the columns that say whether an actor of retention appeared: `day_0`, `day_1` ..."""

    @abstractmethod
    def page(self, *, limit: int, offset: int, recordings: bool) -> ActorRows:
        """Return a page of its actors, in the order of the existing pages."""


def actor_rows(
    node: Mapping[str, Json], context: QueryContext, *, limit: int = MAX_ACTORS, offset: int = 0
) -> ActorRows:
    """Return a page of the actors of a data point; read and asked at once.

    Raises BadNode, Invalid, and the errors of `events.errors`.
    """
    source, fields = read_actors(node, context), Fields(node)
    with one_run(seconds=context.seconds, mark=f"hogql:{context.team.id}:{context.query_id}"):
        return source.page(limit=limit, offset=offset, recordings=fields.flag("includeRecordings"))


def read_actors(
    node: Mapping[str, Json], context: QueryContext, *, path: tuple[str | int, ...] = ("query", "source")
) -> ActorsSource:
    """Read a node of one of KINDS. Raises BadNode and Invalid."""
    fields = Fields(node, path)
    kind = fields.choice("kind", KINDS)
    source = fields.mapping("source")
    if source is None:
        raise fields.missing("source")
    fields.flag("includeRecordings")
    context = replace(context, path=(*path, "source"))
    if kind == "FunnelsActorsQuery":
        if source.get("kind") != "FunnelsQuery":
            raise BadNode("Input should be 'FunnelsQuery'", (*path, "source", "kind"))
        with own_places(fields, OF_ACTORS):
            return _Funnel(fields.only(*_FUNNEL), FunnelsRunner(source, context), context)
    fields.only(*_INSIGHT)
    with own_places(fields, OF_ACTORS):
        return _of_insight(fields, source, context)


def _of_insight(fields: Fields, source: Mapping[str, Json], context: QueryContext) -> ActorsSource:
    match source.get("kind"):
        case "TrendsQuery":
            return _Trend(fields, TrendsRunner(source, context), context)
        case "LifecycleQuery":
            return _Lifecycle(fields, LifecycleRunner(source, context), context)
        case "StickinessQuery":
            return _Stickiness(fields, StickinessRunner(source, context))
        case "RetentionQuery":
            return _Retention(fields, RetentionRunner(source, context))
        case "PathsQuery":
            return _Paths(PathsRunner(source, context))
        case _:
            raise BadNode("Input should be the kind of an insight", (*context.path, "kind"))


class _Trend(ActorsSource):
    def __init__(self, fields: Fields, runner: TrendsRunner, context: QueryContext) -> None:
        self._fields = fields
        self._runner = runner
        self._variant = _variant(fields, runner)
        self._value = _value(fields, runner)
        span = _span(fields, list(self._variant.spans), runner, context, optional=runner.display.total)
        if span is not None and runner.display.cumulative:
            span = replace(span, since=self._variant.spans[0].since)
        self._span = span
        self.group_type_index = groups_of(self._variant.series.entity)

    def page(self, *, limit: int, offset: int, recordings: bool) -> ActorRows:
        found, whole = self._runner.query(self._variant, span=self._span), self._runner.query(self._variant)
        with own_places(self._fields, OF_ACTORS):
            wanted = None if self._value is None else self._condition(self._value)
        query = TrendsQuery(
            # A session is at each point what it is in the whole range.
            scope=replace(found.scope, measured=whole.scope.sessions),
            entity=found.entity,
            math_property=found.math_property if found.entity.math in PROPERTY_MATHS else None,
            only=wanted,
        )
        rows = trends_page(query, limit=limit, offset=offset, recordings=recordings)
        return ActorRows(rows, self.group_type_index)

    def _condition(self, value: tuple[str, ...]) -> Filter | None:
        breakdown = self._runner.breakdown
        if breakdown is None:
            return None
        others: list[tuple[str, ...]] = []
        if set(value) == {OTHER}:
            if any(breakdown.bins):
                raise Invalid("The other values of a histogram have no list of actors.", attr="breakdown")
            whole = self._runner.query(self._variant)
            values = self._runner.values(whole)
            others = [] if values is None else trends_values(whole, values)
        return value_filter(breakdown, value, project=self._runner.project, others=others)


class _Lifecycle(ActorsSource):
    def __init__(self, fields: Fields, runner: LifecycleRunner, context: QueryContext) -> None:
        span = _span(fields, runner.spans, runner, context, optional=False)
        status = fields.choice("status", STATUSES)
        if status is None or span is None:
            raise fields.missing("status")
        self._query = runner.row_query(span, cast("Status", status))

    def page(self, *, limit: int, offset: int, recordings: bool) -> ActorRows:  # noqa: ARG002 there are none
        return ActorRows(lifecycle_page(self._query, limit=limit, offset=offset))


class _Stickiness(ActorsSource):
    def __init__(self, fields: Fields, runner: StickinessRunner) -> None:
        operator = fields.choice("operator", OPERATORS) or "exact"
        number = fields.integer("series", most=len(runner.series) - 1) or 0
        name = fields.choice("compare", ("current", "previous")) or "current"
        if name not in runner.ranges:
            raise Invalid("The query compares with nothing.", attr=fields.attr("compare"))
        day = fields.values.get("day")
        if isinstance(day, str) and day.isascii() and day.isdigit() and len(day) < 10:  # noqa: PLR2004 a number
            day = int(day)
        days = Fields({"day": day}, fields.path).integer("day")
        if days is None:
            raise fields.missing("day")
        self._query = runner.row_query(runner.series[number], name, days, operator=cast("Operator", operator))
        self.group_type_index = self._query.scope.group_type_index

    def page(self, *, limit: int, offset: int, recordings: bool) -> ActorRows:  # noqa: ARG002 there are none
        return ActorRows(stickiness_page(self._query, limit=limit, offset=offset), self.group_type_index)


class _Retention(ActorsSource):
    def __init__(self, fields: Fields, runner: RetentionRunner) -> None:
        self._is_empty = runner.rows == 0
        row = fields.integer("interval", most=max(runner.rows - 1, 0)) or 0
        parts = _parts(fields)
        self._asked = runner.row_query(row, None if parts is None else SEPARATOR.join(parts))
        self.group_type_index = self._asked.query.scope.group_type_index
        self.periods = tuple(f"{runner.interval}_{number}" for number in runner.columns)

    def page(self, *, limit: int, offset: int, recordings: bool) -> ActorRows:  # noqa: ARG002 there are none
        if self._is_empty:
            return ActorRows([], self.group_type_index)
        rows = [
            ActorRow(one.actor, appearances=tuple(place for place, there in enumerate(one.appearances) if there))
            for one in row_page(self._asked, limit=limit, offset=offset)
        ]
        return ActorRows(rows, self.group_type_index)


class _Paths(ActorsSource):
    def __init__(self, runner: PathsRunner) -> None:
        self._query = runner.query

    def page(self, *, limit: int, offset: int, recordings: bool) -> ActorRows:
        return ActorRows(paths_page(self._query, limit=limit, offset=offset, recordings=recordings))


class _Funnel(ActorsSource):
    def __init__(self, fields: Fields, runner: FunnelsRunner, context: QueryContext) -> None:
        trend = runner.shown == "trends"
        steps = fields.values.get("funnelCustomSteps")
        if steps is not None and not isinstance(steps, list):
            raise BadNode("Input should be a valid list", (*fields.path, "funnelCustomSteps"))
        drop_off = fields.values.get("funnelTrendsDropOff")
        fields.flag("funnelTrendsDropOff")
        given: dict[str, Any] = {
            "funnel_step": fields.integer("funnelStep", least=-100),
            "funnel_custom_steps": steps,
            "funnel_step_breakdown": fields.values.get("funnelStepBreakdown"),
        }
        if trend:
            given |= {
                "funnel_viz_type": "trends",
                "drop_off": drop_off,
                "entrance_period_start": fields.text("funnelTrendsEntrancePeriodStart"),
                "funnel_from_step": runner.from_step,
                "funnel_to_step": runner.to_step,
            }
        asked = read_funnel(runner.legacy.replaced(**given), runner.project, now=context.now)
        self._query: FunnelQuery = runner.by_value(asked.query)
        self._which: Reached = asked.which
        self.group_type_index = asked.query.scope.group_type_index
        self.of_values = runner.actor_value is not None

    def page(self, *, limit: int, offset: int, recordings: bool) -> ActorRows:
        rows = funnel_page(self._query, self._which, limit=limit, offset=offset, recordings=recordings)
        return ActorRows(rows, self.group_type_index)


def _shown(row: ActorRow, periods: Sequence[str]) -> list[Json]:
    if not periods:
        return [row.actor, row.value]
    return [row.actor, list(row.appearances), *(int(number in row.appearances) for number in range(len(periods)))]


def _variant(fields: Fields, runner: TrendsRunner) -> Variant:
    """Return the series, cohort and range of a data point."""
    number = fields.integer("series", most=len(runner.series) - 1) or 0
    previous = fields.choice("compare", ("current", "previous")) == "previous"
    found = [one for one in runner.variants if one.series.order == number and one.previous == previous]
    if not found:
        raise Invalid("The query compares with nothing.", attr=fields.attr("compare"))
    if found[0].cohort is None:
        return found[0]
    value = fields.values.get("breakdown")
    wanted = None if value in ("all", 0, "0", None) else str(value)
    for one in found:
        if one.cohort is not None and wanted == (None if one.cohort[0] is None else str(one.cohort[0])):
            return one
    raise Invalid("The query is not broken down by this cohort.", attr=fields.attr("breakdown"))


def _value(fields: Fields, runner: TrendsRunner) -> tuple[str, ...] | None:
    """Return the value of the breakdown, None for all."""
    breakdown = runner.breakdown
    if fields.values.get("breakdown") is None or breakdown is None or not breakdown.dimensions:
        return None
    found = _parts(fields) or ()
    if len(found) != len(breakdown.dimensions):
        message = f"The breakdown has {len(breakdown.dimensions)} values."
        raise Invalid(message, attr=fields.attr("breakdown"))
    return found


def _parts(fields: Fields) -> tuple[str, ...] | None:
    """Return the values of `breakdown`, one for each property; None where it is not there."""
    value = fields.values.get("breakdown")
    if value is None or value == []:
        return None
    listed = value if isinstance(value, list) else [value]
    texts = Fields({"breakdown": [str(one) if isinstance(one, int) else one for one in listed]}, fields.path)
    return tuple(texts.texts("breakdown") or ())


def _span(
    fields: Fields,
    spans: list[Span],
    runner: TrendsRunner | LifecycleRunner,
    context: QueryContext,
    *,
    optional: bool,
) -> Span | None:
    """Return the interval that `day` lies in."""
    if optional:
        return None
    text = fields.required_text("day", longest=100)
    moment: datetime = read_moment(text, runner.project, now=context.now, attr=fields.attr("day"))
    start = begin(moment, runner.step, runner.project, week_start=runner.project.week_start_day)
    for span in spans:
        if span.start == start:
            return span
    raise Invalid("The day is not in the range of the query.", attr=fields.attr("day"))
