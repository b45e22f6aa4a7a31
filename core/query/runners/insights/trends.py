"""TrendsQuery: what series come to in every interval of a range, or over all of it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from core.api.errors import Invalid
from core.api.params import required
from core.insights.filters import all_of, read_filter
from core.insights.trends import DAYS_EARLIER, MATHS, PER_ACTOR_MATHS, UNIQUE_GROUP
from core.persons.date_range import DateRange
from core.query.reading import BadNode, Fields
from core.query.runners.base import Json
from core.query.runners.insights import calendar
from core.query.runners.insights.breakdown import bins_of, read_breakdown
from core.query.runners.insights.calendar import Span, spans
from core.query.runners.insights.common import TICK, InsightRunner, Series, read_series, refuse, scaled, unsupported
from core.query.runners.insights.compare import earlier, read_compare
from core.query.runners.insights.expressions import InsightExpressions, placed
from core.query.runners.insights.trends_display import TrendsDisplay, read_display
from core.query.runners.insights.trends_formulas import Item, with_formulas
from events.filters.row_expressions import EventsAggregate
from events.insights.breakdowns import MISSING, OTHER, Bins, Values
from events.insights.entities import Entity
from events.insights.first_time import FIRST_MATHS
from events.insights.intervals import Interval
from events.insights.trends import PROPERTY_MATHS
from events.insights.trends_series import Point, Reach, SeriesQuery, histogram_ends, trends_points

MAX_STATEMENTS: Final = 100
MAX_POINTS: Final = 20_000
# Of sessions whatever type is given with it, as with the original.
_SESSION_DURATION: Final = "$session_duration"
_COUNTED_ONCE: Final = frozenset({"dau", "unique", UNIQUE_GROUP})
HOGQL_MATH: Final = "hogql"
_UNSCALED: Final = frozenset({*PROPERTY_MATHS, *PER_ACTOR_MATHS} - {"sum"})


@dataclass(frozen=True, slots=True)
class Variant:
    """One series over one range: of one cohort where cohorts break down, perhaps of the earlier range."""

    series: Series
    dates: DateRange
    spans: tuple[Span, ...]
    previous: bool = False
    cohort: tuple[int | None, str] | None = None


class TrendsRunner(InsightRunner):
    """Reads and answers a TrendsQuery."""

    kind = "TrendsQuery"
    names: ClassVar = (
        "interval", "series", "trendsFilter", "breakdownFilter", "compareFilter", "conversionGoal",
        "calendarHeatmapFilter",
    )  # fmt: skip

    def read(self) -> None:
        """Read and check the whole node."""
        refuse(self.fields, "conversionGoal", "calendarHeatmapFilter")
        self.read_group_type_index()
        interval = self.read_interval()
        self.series = read_series(self.fields, self, more=("math_hogql",))
        self.display: TrendsDisplay = read_display(self.fields, series=len(self.series))
        # Over the whole range, days are what is asked, as with the original.
        self.step: Interval = "day" if self.display.total else interval
        for one in self.series:
            check_math(one.entity, self.fields)
            if one.entity.math in PROPERTY_MATHS and one.entity.math_property == _SESSION_DURATION:
                raise unsupported("maths of sessions", self._of_series(one.order), "math_property")
        self.aggregates = self._aggregates()
        self.breakdown = read_breakdown(self.fields, self.project)
        self.compare = read_compare(self.fields)
        self.dates = self.read_dates(self.step, rounded=True)
        # A filter that is wrong is told before anything runs.
        self.sampling = self.scope(self.dates).sampling
        self.variants = list(self._variants())
        self._check_size()

    def answer(self) -> dict[str, Json]:
        """Return the series of the answer; `hasMore` says that there are values beyond the breakdown's limit."""
        listed = [self._items(variant) for variant in self.variants]
        items = with_formulas(self.display, listed, series=len(self.series), compared=self.compare is not None)
        more = any(item.is_other for item in items)
        if self.breakdown is not None and self.breakdown.hide_other:
            items = [item for item in items if not item.is_other]
        if self.display.hides_weekends and self.step == "day" and not self.display.total:
            items = [item.without_weekends() for item in items]
        return {
            "results": [item.shown() for item in items],
            "hasMore": more,
            "resolved_date_range": self.resolved(self.dates),
        }

    def query(self, variant: Variant, *, span: Span | None = None) -> SeriesQuery:
        """Return the question of a series, or of one of its intervals, without the values of its breakdown."""
        entity = variant.series.entity
        math = converted(entity.math, self.step, total=self.display.total)
        entity = replace(entity, math=math)
        dates = variant.dates if span is None else DateRange(span.since, span.until)
        reaches: tuple[Reach, ...] = ()
        # What ends before it begins has no events, however far back each interval would reach.
        if math in DAYS_EARLIER and dates.since <= dates.until:
            back = DAYS_EARLIER[math]
            if self.display.total or span is not None:
                begun = variant.spans[-1] if span is None else span
                dates = DateRange(self._days_before(begun.since, back), begun.until)
            else:
                reaches = tuple(
                    Reach(one.start, self._days_before(one.since, back), one.until + TICK) for one in variant.spans
                )
                dates = DateRange(reaches[0].since, variant.dates.until)
        scope = self.scope(dates, group_type_index=groups_of(entity))
        cohort = None if variant.cohort is None or variant.cohort[0] is None else read_filter(
            [{"type": "cohort", "key": "id", "value": variant.cohort[0]}], attr="breakdownFilter", project=self.project
        )  # fmt: skip
        return SeriesQuery(
            scope=replace(scope, filter=all_of(scope.filter, cohort)),
            entity=entity,
            interval=None if self.display.total or span is not None else self.step,
            math_property=entity.math_property,
            week_start=self.project.week_start_day,
            reaches=reaches,
            first_only=self.display.cumulative and span is None and math in _COUNTED_ONCE,
            aggregate=self.aggregates.get(variant.series.order),
        )

    def values(self, query: SeriesQuery) -> Values | None:
        """Return what a series is broken down by, None for nothing; asks for the ends of histograms' bins."""
        if self.breakdown is None or not self.breakdown.dimensions:
            return None
        bins: list[Bins | None] = [
            None if count is None else bins_of(histogram_ends(query, one, count))
            for one, count in zip(self.breakdown.dimensions, self.breakdown.bins, strict=True)
        ]
        return self.breakdown.values(bins)

    def _aggregates(self) -> dict[int, EventsAggregate]:
        """Return the aggregations of the series whose math is one of their own."""
        expressions, found = InsightExpressions(self.project), {}
        for order in range(len(self.fields.values["series"])):
            fields = self._of_series(order)
            text = fields.text("math_hogql")
            if fields.values.get("math") == HOGQL_MATH:
                if not text:
                    raise required(fields.attr("math_hogql"))
                found[order] = expressions.aggregate(text, attr=fields.attr("math_hogql"))
        return found

    def _variants(self) -> Iterator[Variant]:
        cohorts: Sequence[tuple[int | None, str] | None] = (
            self.breakdown.cohorts if self.breakdown is not None and self.breakdown.cohorts else [None]
        )
        ranges = [(self.dates, False)]
        if self.compare is not None:
            ranges.append((earlier(self, self.dates, self.compare, interval=self.step), True))
        for dates, previous in ranges:
            within = tuple(spans(dates, self.step, self.project))
            for cohort in cohorts:
                for one in self.series:
                    yield Variant(one, dates, within, previous, cohort)

    def _check_size(self) -> None:
        if len(self.variants) > MAX_STATEMENTS:
            message = f"At most {MAX_STATEMENTS} series, cohorts and ranges are possible, multiplied."
            raise Invalid(message, attr=self.fields.attr("series"))
        values = 1 if self.breakdown is None or not self.breakdown.dimensions else self.breakdown.limit + 2
        points = sum(1 if self.display.total else len(one.spans) for one in self.variants) * values
        if points > MAX_POINTS:
            message = (
                f"The answer might have {points} data points; {MAX_POINTS} are possible. Ask for fewer series,"
                " a smaller breakdown limit, a shorter range or longer intervals."
            )
            raise Invalid(message, attr=self.fields.attr("interval"))

    def _days_before(self, moment: datetime, days: int) -> datetime:
        local = calendar.here(moment, self.project.timezone)
        return (local - timedelta(days=days)).astimezone(UTC)

    def _items(self, variant: Variant) -> list[Item]:
        query = self.query(variant)
        values = self.values(query)
        by_value: dict[tuple[str, ...], list[Point]] = {}
        for point in self._points(variant, replace(query, values=values)):
            by_value.setdefault(point.value, []).append(point)
        if values is None:
            return [self._item(variant, None, by_value.get((), []))]
        items = [self._item(variant, value, points) for value, points in by_value.items()]
        return sorted(items, key=lambda item: item.rank)

    def _points(self, variant: Variant, query: SeriesQuery) -> list[Point]:
        if query.aggregate is None:
            return trends_points(query)
        # Of some aggregations ClickHouse alone knows the type.
        with placed(query.aggregate.text, self._of_series(variant.series.order).attr("math_hogql")):
            return trends_points(query)

    def _of_series(self, order: int) -> Fields:
        return Fields(self.fields.values["series"][order], (*self.fields.path, "series", order))

    def _item(self, variant: Variant, value: tuple[str, ...] | None, points: Sequence[Point]) -> Item:
        numbers = self._numbers(variant, points)
        item = Item(
            variant_frame(self, variant),
            data=[] if self.display.total else numbers,
            total=numbers[0] if self.display.total else None,
            previous=variant.previous if self.compare is not None else None,
            cumulative=self.display.cumulative,
        )
        if variant.cohort is not None:
            number, name = variant.cohort
            item.broken_down("all" if number is None else number, name, several=len(self.series) > 1)
        elif value is not None and self.breakdown is not None:
            item.broken_down(self.breakdown.shown(value), "::".join(value), several=len(self.series) > 1)
            item.is_other, item.is_missing = set(value) == {OTHER}, value == (MISSING,)
        return item

    def _numbers(self, variant: Variant, points: Sequence[Point]) -> list[float]:
        """Return a number for each interval, 0 where there is none; one number for the whole range."""
        if self.display.total:
            return [self._scaled(variant, points[0].number if points else None)]
        places = {int(one.start.timestamp()): place for place, one in enumerate(variant.spans)}
        found = [0.0] * len(variant.spans)
        for point in points:
            place = places.get(point.start)
            if place is not None:
                found[place] = self._scaled(variant, point.number)
        return self.display.smoothed(found)

    def _scaled(self, variant: Variant, number: float | None) -> float:
        share = self.sampling
        if share is None or variant.series.entity.math in _UNSCALED:
            return number or 0.0
        if variant.series.entity.math == HOGQL_MATH:
            # It need not be a count, so that whole numbers are not what is meant.
            found = (number or 0.0) / share
            return found if math.isfinite(found) else 0.0
        return scaled(number or 0.0, share)


def variant_frame(runner: TrendsRunner, variant: Variant) -> dict[str, Any]:
    """Return the members of a series that are known without its numbers."""
    zone, step = runner.project.timezone, runner.step
    entity = variant.series.entity
    aggregate = runner.aggregates.get(variant.series.order)
    return {
        "action": {
            "days": [calendar.iso(one.start, zone) for one in variant.spans],
            "id": entity.id,
            "type": entity.type,
            "order": variant.series.order,
            "name": variant.series.name,
            "custom_name": variant.series.custom_name,
            "math": entity.math,
            "math_property": entity.math_property,
            "math_hogql": None if aggregate is None else aggregate.text,
            "math_group_type_index": entity.math_group_type_index,
            "properties": {},
        },
        "label": variant.series.name,
        "days": [] if runner.display.total else [calendar.day(one, step, zone) for one in variant.spans],
        "labels": [] if runner.display.total else [calendar.label(one, step, zone) for one in variant.spans],
        "filter": {
            "insight": "TRENDS",
            "interval": step,
            "date_from": calendar.iso(variant.dates.since, zone),
            "date_to": calendar.iso(variant.dates.until, zone),
            "display": runner.display.name,
            "filter_test_accounts": runner.fields.flag("filterTestAccounts"),
        },
    }


def check_math(entity: Entity, fields: Fields) -> None:
    """Raise the error of a series whose math is none, or lacks something."""
    known = (*MATHS, *sorted(FIRST_MATHS), HOGQL_MATH)
    if entity.math not in known:
        message = f"Input should be one of {', '.join(map(repr, known))}"
        raise BadNode(message, (*fields.path, "series", "math"))
    if entity.math in PROPERTY_MATHS and entity.math_property is None:
        name = f"{fields.attr('series')}__math_property"
        raise required(name)
    if entity.math == UNIQUE_GROUP and entity.math_group_type_index is None:
        name = f"{fields.attr('series')}__math_group_type_index"
        raise required(name)


def converted(math: str, interval: Interval, *, total: bool) -> str:
    """Return the math for an interval that is at least as long as what weekly and monthly active actors look back."""
    longer = {"weekly_active": ("week", "month"), "monthly_active": ("month",)}
    return "dau" if not total and interval in longer.get(math, ()) else math


def groups_of(entity: Entity) -> int | None:
    """Return the type of the groups that a math counts, None where it counts persons."""
    return entity.math_group_type_index if entity.math in {UNIQUE_GROUP, *PER_ACTOR_MATHS} else None
