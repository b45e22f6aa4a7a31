"""RetentionQuery: of those who did something in one period, how many came back in each later one."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from dateutil.relativedelta import relativedelta

from core.insights.parameters import Parameters
from core.insights.retention import FIRST_TIME, PERIODS, RECURRING, read_retention
from core.persons.date_range import DateRange
from core.query.reading import Fields
from core.query.runners.base import Json, QueryContext
from core.query.runners.insights import calendar
from core.query.runners.insights.common import InsightRunner, plain, refuse, scaled, unsupported
from events.insights.intervals import SUNDAY
from events.insights.retention import RetentionQuery, ends_of
from events.insights.retention_table import retention_table

DEFAULT_INTERVALS: Final = 8
MAX_INTERVALS: Final = 100
FILTER: Final = (
    "retentionType", "retentionReference", "totalIntervals", "minimumOccurrences", "returningEntity", "targetEntity",
    "period", "cumulative", "timeWindowMode", "retentionCustomBrackets", "aggregationType", "aggregationProperty",
    "aggregationPropertyType", "customAggregationTarget", "meanRetentionCalculation", "display", "dashboardDisplay",
    "showTrendLines", "selectedInterval", "goalLines", "cohortLabelStartIndex",
)  # fmt: skip
ENTITY: Final = ("id", "name", "type", "order", "uuid", "custom_name", "properties")


class RetentionRunner(InsightRunner):
    """Reads and answers a RetentionQuery. `dateRange.date_from` says nothing: the table ends with `date_to`."""

    kind = "RetentionQuery"
    names: ClassVar = ("retentionFilter", "breakdownFilter")

    def __init__(self, node: Mapping[str, Json], context: QueryContext) -> None:
        """Read and check the whole node."""
        super().__init__(node, context)
        breakdown = self.fields.below("breakdownFilter")
        if breakdown is not None:
            refuse(breakdown, "breakdown", "breakdowns")
        given = self.fields.below("retentionFilter")
        if given is None:
            raise self.fields.missing("retentionFilter")
        self.filter = given.only(*FILTER)
        refuse(given, "cumulative", "retentionCustomBrackets", "aggregationProperty", "customAggregationTarget")
        if (given.integer("minimumOccurrences", least=1) or 1) != 1:
            raise unsupported("minimumOccurrences", given, "minimumOccurrences")
        if given.choice("timeWindowMode", ("strict_calendar_dates", "24_hour_windows")) == "24_hour_windows":
            raise unsupported("windows of 24 hours", given, "timeWindowMode")
        if given.choice("aggregationType", ("count", "sum", "avg")) in {"sum", "avg"}:
            raise unsupported("the aggregation of a property", given, "aggregationType")
        self.period = given.choice("period", (*PERIODS,)) or "Day"
        self.interval = PERIODS[self.period]
        self.total = given.integer("totalIntervals", least=1, most=MAX_INTERVALS) or DEFAULT_INTERVALS
        self._check_dates()
        self.query: RetentionQuery = read_retention(self.row_parameters(0), self.project, now=context.now)
        self.sampling = self.query.scope.sampling
        since, until = ends_of(self.query)
        self.dates = DateRange(since, until)
        self.date_to = until

    def row_parameters(self, row: int) -> Parameters:
        """Return the table and one of its rows under the names that the actors' endpoint knows."""
        return self.parameters.replaced(
            period=self.period,
            total_intervals=self.total,
            selected_interval=row,
            retention_type=self.filter.choice("retentionType", (RECURRING, FIRST_TIME)),
            target_entity=self._entity("targetEntity"),
            returning_entity=self._entity("returningEntity"),
            aggregation_group_type_index=self.read_group_type_index(),
        )

    def answer(self) -> dict[str, Json]:
        """Return a row for each period; row i has a value for itself and each later period."""
        cells = retention_table(self.query)
        return {
            "results": [
                {
                    "values": [
                        {
                            "count": plain(scaled(cells.get((row, distance), 0), self.sampling)),
                            "label": f"{self.period} {distance}",
                        }
                        for distance in range(self.total - row)
                    ],
                    "label": f"{self.period} {row}",
                    "date": self._date(row),
                }
                for row in range(self.total)
            ],
            "resolved_date_range": self.resolved(self.dates),
        }

    def _date(self, row: int) -> str:
        unit = f"{PERIODS[self.period]}s"
        since = self.dates.since.replace(day=1) if unit == "months" else self.dates.since
        if unit == "hours":
            since = calendar.begin(since, "hour", self.project, week_start=SUNDAY)
        moved = since + relativedelta(**{unit: row})  # type: ignore[arg-type]
        begun = calendar.begin(moved, PERIODS[self.period], self.project, week_start=SUNDAY)
        return calendar.iso(begun, self.project.timezone)

    def _entity(self, name: str) -> dict[str, Any] | None:
        given = self.filter.below(name)
        if given is None or not given.values:
            return None
        kind = given.choice("type", ("events", "actions", "data_warehouse")) or "events"
        if kind == "data_warehouse":
            raise unsupported("entities of a data warehouse", given, "type")
        fields = Fields(given.values, given.path).only(*ENTITY)
        return {"id": given.values.get("id"), "type": kind, "properties": fields.filters("properties")}
