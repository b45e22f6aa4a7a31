"""LifecycleQuery: how many persons were new, returning, resurrecting and dormant in each interval."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import ClassVar, Final

from core.insights.filters import all_of, read_filter
from core.persons.date_range import DateRange
from core.query.runners.base import Json
from core.query.runners.insights import calendar
from core.query.runners.insights.calendar import Span, after, begin, spans
from core.query.runners.insights.common import TICK, InsightRunner, plain, read_series, refuse, scaled
from events.insights.lifecycle import STATUSES, LifecycleQuery, Status
from events.insights.lifecycle_series import LifecycleSeries, lifecycle_counts

FILTER: Final = (
    "showValuesOnSeries", "showPercentagesOnSeries", "toggledLifecycles", "showLegend", "legendPosition", "stacked",
)  # fmt: skip
_PROFILED: Final = [{"type": "event", "key": "$process_person_profile", "operator": "is_not", "value": ["false"]}]


class LifecycleRunner(InsightRunner):
    """Reads and answers a LifecycleQuery. Events of nobody, who has no profile, do not count."""

    kind = "LifecycleQuery"
    names: ClassVar = ("interval", "series", "lifecycleFilter", "customAggregationTarget")

    def read(self) -> None:
        """Read and check the whole node."""
        refuse(self.fields, "customAggregationTarget")
        if self.read_group_type_index() is not None:
            refuse(self.fields.__class__({"aggregation_group_type_index": True}, self.fields.path),
                   "aggregation_group_type_index")  # fmt: skip
        given = self.fields.below("lifecycleFilter")
        if given is not None:
            given.only(*FILTER)
        self.step = self.read_interval()
        (self.series,) = read_series(self.fields, self, most=1)
        self.dates = self.read_dates(self.step)
        self.spans = spans(self.dates, self.step, self.project)
        first = begin(self.dates.since, self.step, self.project, week_start=self.project.week_start_day)
        self.before = begin(first - TICK, self.step, self.project, week_start=self.project.week_start_day)
        # Dates that end before they begin touch no interval.
        end = self._after(self.spans[-1]) if self.spans else first
        # All intervals that the dates touch, and the one before them.
        considered = self.scope(DateRange(self.before, end - TICK))
        profiled = read_filter(_PROFILED, attr="properties", project=self.project)
        self.considered = replace(considered, filter=all_of(considered.filter, profiled))

    def answer(self) -> dict[str, Json]:
        """Return a series for each status; the dormant are below 0."""
        starts = [self.before, *(span.start for span in self.spans)]
        first_day = self.project.week_start_day
        counts = lifecycle_counts(LifecycleSeries(self.considered, self.series.entity, self.step, starts, first_day))
        return {
            "results": [self._item(status, counts) for status in STATUSES],
            "resolved_date_range": self.resolved(self.dates),
        }

    def row_query(self, span: Span, status: Status) -> LifecycleQuery:
        """Return the question who has a status in an interval."""
        place = self.spans.index(span)
        return LifecycleQuery(
            scope=self.considered,
            entity=self.series.entity,
            status=status,
            before=self.spans[place - 1].start if place else self.before,
            start=span.start,
            end=self._after(span),
        )

    def _after(self, span: Span) -> datetime:
        return after(span.start, self.step, self.project, week_start=self.project.week_start_day)

    def _item(self, status: Status, counts: Mapping[tuple[Status, int], int]) -> dict[str, Json]:
        sign = -1 if status == "dormant" else 1
        sampling = self.considered.sampling
        data = [sign * scaled(counts.get((status, place), 0), sampling) for place in range(1, len(self.spans) + 1)]
        zone, entity = self.project.timezone, self.series.entity
        return {
            "action": {
                "id": entity.id, "name": self.series.name, "type": entity.type, "order": 0, "math": "total"
            },
            "label": f"{self.series.name} - {status}",
            "status": status,
            "data": [plain(number) for number in data],
            "count": plain(sum(data)),
            "days": [calendar.day(span, self.step, zone) for span in self.spans],
            "labels": [calendar.label(span, self.step, zone) for span in self.spans],
        }  # fmt: skip
