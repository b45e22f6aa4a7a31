"""StickinessQuery: how many actors were active in one interval, in two, in three ..."""

from datetime import datetime
from typing import ClassVar, Final, cast

from core.api.errors import Invalid
from core.insights.trends import UNIQUE_GROUP
from core.persons.date_range import DateRange
from core.query.reading import Fields
from core.query.runners.base import Json
from core.query.runners.insights.calendar import MAX_INTERVALS, spans
from core.query.runners.insights.common import (
    InsightRunner,
    Series,
    plain,
    read_series,
    scaled,
    unsupported,
)
from core.query.runners.insights.compare import earlier, read_compare
from core.query.runners.insights.trends import MAX_POINTS
from events.insights.stickiness import OPERATORS, Criteria, Operator, StickinessQuery
from events.insights.stickiness_series import stickiness_counts

FILTER: Final = (
    "display", "showLegend", "legendPosition", "showValuesOnSeries", "showMultipleYAxes", "hiddenLegendIndexes",
    "stickinessCriteria", "computedAs", "resultCustomizationBy", "resultCustomizations",
)  # fmt: skip
MAX_EVENTS: Final = 2**31
"""What can be asked of one interval."""
_MATHS: Final = frozenset({"total", "dau", "unique", UNIQUE_GROUP})


class StickinessRunner(InsightRunner):
    """Reads and answers a StickinessQuery."""

    kind = "StickinessQuery"
    names: ClassVar = ("interval", "intervalCount", "series", "stickinessFilter", "compareFilter")

    def read(self) -> None:
        """Read and check the whole node."""
        given = self.fields.below("stickinessFilter")
        self.cumulative = False
        self.criteria: Criteria | None = None
        if given is not None:
            self.criteria = _criteria(given.only(*FILTER))
            self.cumulative = given.choice("computedAs", ("non_cumulative", "cumulative")) == "cumulative"
        self.interval_count = self.fields.integer("intervalCount", least=1, most=MAX_INTERVALS) or 1
        self.step = self.read_interval()
        self.series = read_series(self.fields, self)
        for one in self.series:
            if one.entity.math not in _MATHS:
                what = f"the math {one.entity.math[:100]}"
                raise unsupported(what, self.fields, "series")
        self.dates = self.read_dates(self.step, rounded=True, always=True)
        self.sampling = self.scope(self.dates).sampling
        compare = read_compare(self.fields)
        self.ranges = {"current": self.dates}
        if compare is not None:
            self.ranges["previous"] = earlier(self, self.dates, compare, interval=self.step)
        self.starts = {name: self._starts(dates) for name, dates in self.ranges.items()}
        if sum(map(len, self.starts.values())) * len(self.series) > MAX_POINTS:
            message = f"The answer would have more than {MAX_POINTS} data points."
            raise Invalid(message, attr=self.fields.attr("interval"))

    def answer(self) -> dict[str, Json]:
        """Return a number of actors for each number of intervals, for each series and range."""
        return {
            "results": [self._item(series, name) for name in self.ranges for series in self.series],
            "resolved_date_range": self.resolved(self.dates),
        }

    def row_query(self, series: Series, name: str, intervals: int, *, operator: Operator = "exact") -> StickinessQuery:
        """Return the question who was active in so many intervals of a range, or in more where that is computed."""
        entity = series.entity
        groups = entity.math_group_type_index if entity.math == UNIQUE_GROUP else None
        return StickinessQuery(
            scope=self.scope(self.ranges[name], group_type_index=groups),
            entity=entity,
            interval=self.step,
            intervals=intervals,
            week_start=self.project.week_start_day,
            operator="gte" if self.cumulative else operator,
            criteria=self.criteria,
            starts=tuple(self.starts[name]) if self.interval_count > 1 else (),
        )

    def _starts(self, dates: DateRange) -> list[datetime]:
        """Return where the intervals begin, `interval_count` of them taken together, the last ones first."""
        starts = [span.start for span in spans(dates, self.step, self.project)]
        first = len(starts) % self.interval_count
        grouped = starts[first :: self.interval_count]
        return [starts[0], *grouped] if first else grouped

    def _item(self, series: Series, name: str) -> dict[str, Json]:
        counts = stickiness_counts(self.row_query(series, name, 0))
        days = list(range(1, len(self.starts[name]) + 1))
        data = [scaled(counts.get(day, 0), self.sampling) for day in days]
        count = sum(data)
        if self.cumulative:
            data = [sum(data[place:]) for place in range(len(data))]
        more = " or more" if self.cumulative else ""
        shown: dict[str, Json] = {
            "action": {
                "order": series.order, "type": series.entity.type, "name": series.name, "id": series.entity.id
            },
            "label": series.name,
            "count": plain(count),
            "data": [plain(number) for number in data],
            "days": days,
            "labels": [f"{day} {self.step}{'' if day == 1 else 's'}{more}" for day in days],
        }  # fmt: skip
        if len(self.ranges) > 1:
            shown |= {"compare": True, "compare_label": name}
        return shown


def _criteria(given: Fields) -> Criteria | None:
    """Return `stickinessCriteria`, None where every interval with an event counts."""
    criteria = given.below("stickinessCriteria")
    if criteria is None or not criteria.values:
        return None
    criteria.only("operator", "value")
    operator, value = criteria.choice("operator", OPERATORS), criteria.integer("value", most=MAX_EVENTS)
    for name, found in (("operator", operator), ("value", value)):
        if found is None:
            raise criteria.missing(name)
    if value == 0 and operator != "gte":
        message = "Stickiness criteria with operator exact or lte must use a value greater than 0."
        raise Invalid(message, code="stickiness_criteria_zero_incompatible", attr=criteria.attr("value"))
    return Criteria(cast("Operator", operator), cast("int", value))
