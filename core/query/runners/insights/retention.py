"""RetentionQuery: of those who did something in one period, how many came back in each later one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from math import ceil
from typing import Any, ClassVar, Final

from dateutil.relativedelta import relativedelta

from core.api.errors import Invalid
from core.insights.filters import all_of, read_filter
from core.insights.parameters import Parameters
from core.insights.retention import DEFAULT_TARGET, FIRST_TIME, FIRST_YEAR, PERIODS, RECURRING, read_retention
from core.persons.date_range import DateRange
from core.query.reading import BadNode, Fields
from core.query.runners.base import Json
from core.query.runners.insights import calendar
from core.query.runners.insights.breakdown import EVERYBODY, Breakdown, read_breakdown
from core.query.runners.insights.common import InsightRunner, plain, refuse, scaled, unsupported
from core.query.runners.insights.places import own_places
from events.insights.breakdowns import OTHER
from events.insights.intervals import SUNDAY, Interval
from events.insights.retention import RetentionQuery, ends_of
from events.insights.retention_table import retention_table
from events.insights.retention_values import Cells, RowQuery, value_tables

DEFAULT_INTERVALS: Final = 8
MAX_INTERVALS: Final = 100
MAX_CELLS: Final = 100_000
"""Of an answer."""
MAX_OCCURRENCES: Final = 2**31
MAX_BRACKET: Final = 1_000
FILTER: Final = (
    "retentionType", "retentionReference", "totalIntervals", "minimumOccurrences", "returningEntity", "targetEntity",
    "period", "cumulative", "timeWindowMode", "retentionCustomBrackets", "aggregationType", "aggregationProperty",
    "aggregationPropertyType", "customAggregationTarget", "meanRetentionCalculation", "display", "dashboardDisplay",
    "showTrendLines", "selectedInterval", "goalLines", "cohortLabelStartIndex",
)  # fmt: skip
ENTITY: Final = ("id", "name", "type", "order", "uuid", "custom_name", "properties")


class RetentionRunner(InsightRunner):
    """Reads and answers a RetentionQuery: of all periods of its range, or of `totalIntervals` up to `date_to`."""

    kind = "RetentionQuery"
    names: ClassVar = ("retentionFilter", "breakdownFilter")

    def read(self) -> None:
        """Read and check the whole node."""
        given = self.fields.below("retentionFilter")
        if given is None:
            raise self.fields.missing("retentionFilter")
        self.filter = given.only(*FILTER)
        refuse(given, "aggregationProperty", "customAggregationTarget")
        if given.choice("timeWindowMode", ("strict_calendar_dates", "24_hour_windows")) == "24_hour_windows":
            raise unsupported("windows of 24 hours", given, "timeWindowMode")
        if given.choice("aggregationType", ("count", "sum", "avg")) in {"sum", "avg"}:
            raise unsupported("the aggregation of a property", given, "aggregationType")
        self.period = given.choice("period", (*PERIODS,)) or "Day"
        self.step = self.interval = PERIODS[self.period]
        self.total = given.integer("totalIntervals", least=1, most=MAX_INTERVALS) or DEFAULT_INTERVALS
        self._check_dates()
        with own_places(self.fields, {"actions": "retentionFilter"}):
            query = self._ranged(read_retention(self._legacy(), self.project, now=self.context.now))
        least = given.integer("minimumOccurrences", least=1, most=MAX_OCCURRENCES) or 1
        self.brackets = _brackets(given)
        self.query: RetentionQuery = replace(
            query,
            minimum_occurrences=least,
            brackets=tuple(accumulate(self.brackets)),
            cumulative=given.flag("cumulative"),
        )
        self.sampling = self.query.scope.sampling
        since, until = ends_of(self.query)
        self.dates = DateRange(since, until)
        self.date_to = until
        self.breakdown = read_breakdown(self.fields, self.project)
        if self.breakdown is not None and any(self.breakdown.bins):
            raise unsupported("histograms of retention", self.fields, "breakdownFilter")
        if self.breakdown is not None and any(one.place == "session" for one in self.breakdown.dimensions):
            raise unsupported("retention by properties of sessions", self.fields, "breakdownFilter")
        self._check_size()

    def _ranged(self, query: RetentionQuery) -> RetentionQuery:
        """Return a table of whole periods, from that of `date_from` on; that of the actors' endpoint knows none."""
        since, until = ends_of(query)
        if self.parameters.text("date_from"):
            since = self.read_dates(self.step).since
        begun, end = (self._begin(moment) for moment in (since, until))
        if begun.year < FIRST_YEAR:
            raise Invalid("The date is out of range.", attr="date_from")
        rows = max(_periods_between(begun, end, self.step), 0)
        if rows > calendar.MAX_INTERVALS:
            message = f"The range has more than {calendar.MAX_INTERVALS} intervals. Ask for longer or fewer of them."
            raise Invalid(message, attr="date_from")
        scope = replace(query.scope, since=begun, until=end)
        return replace(query, scope=scope, length=rows, columns=self.total)

    def _begin(self, moment: datetime) -> datetime:
        begun = calendar.begin(moment, self.step, self.project, week_start=SUNDAY)
        return calendar.here(begun, self.project.timezone)

    def _check_size(self) -> None:
        blocks = 1 if self.breakdown is None else len(self.breakdown.cohorts) or self.breakdown.limit + 1
        cells = blocks * self.rows * len(self.columns)
        if cells > MAX_CELLS:
            message = (
                f"The answer might have {cells} cells; {MAX_CELLS} are possible. Ask for fewer intervals or a smaller"
                " breakdown limit."
            )
            name = "retentionFilter" if self.breakdown is None else "breakdownFilter"
            raise Invalid(message, attr=self.fields.attr(name))

    def _legacy(self) -> Parameters:
        """Return the table under the names that the actors' endpoint knows."""
        return self.parameters.replaced(
            period=self.period,
            total_intervals=self.total,
            selected_interval=0,
            retention_type=self.filter.choice("retentionType", (RECURRING, FIRST_TIME)),
            target_entity=self._entity("targetEntity"),
            returning_entity=self._entity("returningEntity") or DEFAULT_TARGET,
            aggregation_group_type_index=self.read_group_type_index(),
        )

    @property
    def rows(self) -> int:
        """Return how many periods the range has, which may be none."""
        return self.query.length

    @property
    def columns(self) -> range:
        """Return the columns of each row: periods, also those after the range, or the first one and the brackets."""
        return range(len(self.brackets) + 1 if self.brackets else self.total)

    def row_query(self, row: int, value: str | None = None) -> RowQuery:
        """Return the question who is in a row, of those of one value where that is given. Raises Invalid."""
        if value is None:
            return RowQuery(self.query, row)
        breakdown = self.breakdown
        if breakdown is None:
            raise Invalid("The query is not broken down.", attr="breakdown")
        if not breakdown.cohorts:
            return RowQuery(self.query, row, breakdown.values([None] * len(breakdown.dimensions)), value)
        for number, _ in breakdown.cohorts:
            if value in {_cohort_value(number), EVERYBODY if number is None else ""}:
                return RowQuery(self._of_cohort(number), row)
        raise Invalid("The query is not broken down by this cohort.", attr="breakdown")

    def answer(self) -> dict[str, Json]:
        """Return a row for each period of the range, with a value for itself and each of the periods after it.

        With a breakdown, there is such a block of rows for each value.
        """
        results: list[dict[str, Json]]
        if self.rows == 0:
            results = []
        elif self.breakdown is None:
            results = self._rows(retention_table(self.query))
        else:
            results = [
                {**row, "breakdown_value": value}
                for value, cells in self._blocks(self.breakdown).items()
                for row in self._rows(cells)
            ]
        return {"results": results, "resolved_date_range": self.resolved(self.dates)}

    def _blocks(self, breakdown: Breakdown) -> dict[str, Cells]:
        """Return the cells of each value, the largest first."""
        if not breakdown.cohorts:
            found = value_tables(self.query, breakdown.values([None] * len(breakdown.dimensions)))
            return {value: cells for value, cells in found.items() if value != OTHER or not breakdown.hide_other}
        blocks = {_cohort_value(number): retention_table(self._of_cohort(number)) for number, _ in breakdown.cohorts}
        sizes = {value: sum(cells.get((row, 0), 0) for row in range(self.rows)) for value, cells in blocks.items()}
        return dict(sorted(blocks.items(), key=lambda block: (-sizes[block[0]], block[0])))

    def _of_cohort(self, number: int | None) -> RetentionQuery:
        if number is None:
            return self.query
        wanted = [{"type": "cohort", "key": "id", "value": number}]
        cohort = read_filter(wanted, attr="breakdownFilter", project=self.project)
        scope = self.query.scope
        return replace(self.query, scope=replace(scope, filter=all_of(scope.filter, cohort)))

    def _rows(self, cells: Cells) -> list[dict[str, Json]]:
        return [
            {
                "values": [
                    {
                        "count": plain(scaled(cells.get((row, distance), 0), self.sampling)),
                        "label": self._label(distance),
                    }
                    for distance in self.columns
                ],
                "label": f"{self.period} {row}",
                "date": self._date(row),
            }
            for row in range(self.rows)
        ]

    def _label(self, column: int) -> str:
        if not self.brackets or column == 0:
            return f"{self.period} {column}"
        last = self.query.brackets[column - 1]
        first = last - self.brackets[column - 1] + 1
        return f"{self.period} {first}" if first == last else f"{self.period} {first}-{last}"

    def _date(self, row: int) -> str:
        # Days are counted by the clock of the zone, hours are not.
        since = self.dates.since.astimezone(UTC) if self.step == "hour" else self.dates.since
        moved = since + relativedelta(**{f"{self.step}s": row})  # type: ignore[arg-type]
        return calendar.iso(self._begin(moved), self.project.timezone)

    def _entity(self, name: str) -> dict[str, Any] | None:
        given = self.filter.below(name)
        if given is None or not given.values:
            return None
        kind = given.choice("type", ("events", "actions", "data_warehouse")) or "events"
        if kind == "data_warehouse":
            raise unsupported("entities of a data warehouse", given, "type")
        fields = Fields(given.values, given.path).only(*ENTITY)
        return {"id": given.values.get("id"), "type": kind, "properties": fields.filters("properties")}


def _periods_between(first: datetime, second: datetime, interval: Interval) -> int:
    """Return how many periods lie between the starts of two of them, which are in one zone."""
    days = (second.date() - first.date()).days
    match interval:
        case "hour":
            # Where the clocks are set by half an hour, a part of one is left.
            return ceil((second.astimezone(UTC) - first.astimezone(UTC)) / timedelta(hours=1))
        case "week":
            return days // 7
        case "month":
            return (second.year - first.year) * 12 + second.month - first.month
        case _:
            return days


def _brackets(given: Fields) -> tuple[int, ...]:
    """Return how many periods each column after the first one stands for, none where that is one each."""
    sizes = given.values.get("retentionCustomBrackets")
    if sizes is None:
        return ()
    path = (*given.path, "retentionCustomBrackets")
    if not isinstance(sizes, list) or len(sizes) > MAX_INTERVALS:
        message = f"Input should be a list of at most {MAX_INTERVALS} items"
        raise BadNode(message, path)
    members = Fields({str(number): size for number, size in enumerate(sizes)}, path)
    found = [members.integer(name, least=1, most=MAX_BRACKET) for name in members.values]
    if None in found:
        raise BadNode("Input should be a valid integer", path)
    return tuple(size for size in found if size is not None)


def _cohort_value(number: int | None) -> str:
    """Return a cohort as answers show it: by its id, everybody by 0."""
    return str(number or 0)
