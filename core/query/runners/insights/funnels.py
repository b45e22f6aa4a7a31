"""FunnelsQuery: steps, time to convert, and conversion over time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

from core.api.errors import Invalid
from core.insights.funnel import read_funnel
from core.insights.funnel_breakdown import ALL_USERS
from core.insights.parameters import Parameters
from core.query.reading import BadNode, Fields
from core.query.runners.base import Json
from core.query.runners.insights import calendar
from core.query.runners.insights.breakdown import NAMES as BREAKDOWN
from core.query.runners.insights.calendar import Span, spans
from core.query.runners.insights.common import (
    InsightRunner,
    Series,
    entity_of,
    plain,
    read_series,
    read_series_node,
    refuse,
    scaled,
    unsupported,
)
from core.query.runners.insights.expressions import InsightExpressions
from core.query.runners.insights.places import own_places
from core.query.runners.insights.trends import MAX_POINTS
from core.tenancy.statements import fetch_rows
from events.filters.row_expressions import RowExpression
from events.insights.funnel_query import EVERYBODY, FunnelQuery
from events.insights.funnel_series import Conversion, FunnelRow, funnel_conversions, funnel_rows, time_to_convert

MAX_STEPS: Final = 20
MAX_BINS: Final = 90
FILTER: Final = (
    "exclusions", "layout", "binCount", "breakdownAttributionType", "breakdownAttributionValue",
    "funnelAggregateByHogQL", "customAggregationTarget", "funnelToStep", "funnelFromStep", "funnelOrderType",
    "funnelVizType", "funnelWindowInterval", "funnelWindowIntervalUnit", "hiddenLegendBreakdowns",
    "funnelStepReference", "useUdf", "resultCustomizations", "goalLines", "showTrendLines", "showLegend",
    "legendPosition", "showValuesOnSeries", "breakdownSorting", "showAnnotations",
    "hideIncompleteConversionWindowPeriods",
)  # fmt: skip
_NAMES: Final = "SELECT id, name FROM core_cohort WHERE team_id = %s AND id = ANY(%s)"
_BY_VALUE: Final = "funnelAggregateByHogQL"
_FIRST_MATHS: Final = ("first_time_for_user", "first_time_for_user_with_filters")
"""The maths that change what a step is; a step has no use for others."""
_VISUALIZATIONS: Final = ("steps", "time_to_convert", "trends")


class FunnelsRunner(InsightRunner):
    """Reads and answers a FunnelsQuery."""

    kind = "FunnelsQuery"
    names: ClassVar = ("interval", "series", "funnelsFilter", "breakdownFilter", "compareFilter")

    def read(self) -> None:
        """Read and check the whole node."""
        compared = self.fields.below("compareFilter")
        if compared is not None:
            refuse(compared.only("compare", "compare_to"), "compare")
        self.step = self.read_interval()
        self.series = read_series(self.fields, self, most=MAX_STEPS)
        for node in self._nodes():
            if node.values.get("math") in _FIRST_MATHS:
                what = f"the math {node.values['math']}"
                raise unsupported(what, node, "math")
        given = self.fields.below("funnelsFilter") or Fields({}, (*self.fields.path, "funnelsFilter"))
        self.filter = given.only(*FILTER)
        refuse(given, "customAggregationTarget", "hideIncompleteConversionWindowPeriods")
        self.shown = given.choice("funnelVizType", _VISUALIZATIONS) or "steps"
        self.dates = self.read_dates(self.step)
        self.actor_value = self._actor_value()
        self.legacy = self.legacy_parameters()
        # The actions of the series are known to be there.
        with own_places(self.filter, {"actions": "exclusions"}):
            asked = read_funnel(self.legacy, self.project, now=self.context.now)
        self.query: FunnelQuery = self.by_value(asked.query)
        self.sampling = self.query.scope.sampling
        self.from_step, self.to_step = self._range()
        self.bins = given.integer("binCount", least=1, most=MAX_BINS)
        self.spans: Sequence[Span] = ()
        if self.shown == "trends":
            self.spans = spans(self.dates, self.step, self.project)
            values = 1 if self.query.breakdown is None else self.query.breakdown.limit + 2
            if len(self.spans) * values > MAX_POINTS:
                message = f"The answer might have more than {MAX_POINTS} data points."
                raise Invalid(message, attr=self.fields.attr("interval"))

    def answer(self) -> dict[str, Json]:
        """Return the funnel as it is to be shown."""
        results = {"steps": self._steps, "time_to_convert": self._time_to_convert, "trends": self._trends}[self.shown]()
        return {"results": results, "resolved_date_range": self.resolved(self.dates)}

    def legacy_parameters(self) -> Parameters:
        """Return the funnel under the names that the actors' endpoint knows."""
        given = self.filter
        steps = [entity_of(node, order) for order, node in enumerate(self._nodes())]
        return Parameters({
            **self.parameters.values,
            "interval": self.step,
            "events": [one for one in steps if one["type"] == "events"],
            "actions": [one for one in steps if one["type"] == "actions"],
            "funnel_step": 1,
            "funnel_viz_type": "steps",
            "funnel_order_type": given.choice("funnelOrderType", ("ordered", "strict", "unordered")),
            "funnel_window_interval": given.integer("funnelWindowInterval", least=1),
            "funnel_window_interval_unit": given.choice(
                "funnelWindowIntervalUnit", ("second", "minute", "hour", "day", "week", "month")
            ),
            "aggregation_group_type_index": self.read_group_type_index(),
            "exclusions": self._exclusions(),
            **self._breakdown(),
        })  # fmt: skip

    def by_value(self, query: FunnelQuery) -> FunnelQuery:
        """Return the funnel of the values of `funnelAggregateByHogQL`, where these go through it."""
        return replace(query, scope=replace(query.scope, actor_value=self.actor_value))

    def _actor_value(self) -> RowExpression | None:
        """Return whose values are the actors; None for persons and groups, which win over it."""
        text = self.filter.text(_BY_VALUE)
        if not text or text.strip() == "person_id" or self.read_group_type_index() is not None:
            return None
        return InsightExpressions(self.project).of_event(text, attr=self.filter.attr(_BY_VALUE))

    def _nodes(self) -> list[Fields]:
        path = (*self.fields.path, "series")
        return [read_series_node(item, (*path, number)) for number, item in enumerate(self.fields.values["series"])]

    def _exclusions(self) -> list[dict[str, Any]]:
        items = self.filter.values.get("exclusions")
        path = (*self.filter.path, "exclusions")
        if items is None:
            return []
        if not isinstance(items, list):
            raise BadNode("Input should be a valid list", path)
        found = []
        for number, item in enumerate(items):
            node = read_series_node(item, (*path, number), "funnelFromStep", "funnelToStep")
            ends = {
                "funnel_from_step": node.integer("funnelFromStep"), "funnel_to_step": node.integer("funnelToStep")
            }  # fmt: skip
            found.append({**entity_of(node, number), **ends})
        return found

    def _breakdown(self) -> dict[str, Any]:
        given = self.fields.below("breakdownFilter")
        if given is None:
            return {}
        given.only(*BREAKDOWN)
        refuse(given, "breakdown_histogram_bin_count", "breakdown_path_cleaning")
        several = given.values.get("breakdowns") or None
        if isinstance(several, list):
            for number, item in enumerate(several):
                one = Fields(item if isinstance(item, dict) else {}, (*given.path, "breakdowns", number))
                refuse(one.only("property", "type", "normalize_url", "group_type_index", "histogram_bin_count"),
                       "normalize_url", "histogram_bin_count")  # fmt: skip
        attribution = ("first_touch", "last_touch", "all_events", "step")
        return {
            "breakdown": given.values.get("breakdown"),
            "breakdowns": several,
            "breakdown_type": given.text("breakdown_type"),
            "breakdown_limit": given.integer("breakdown_limit", least=1, most=1000),
            "breakdown_group_type_index": given.integer("breakdown_group_type_index", most=4),
            "breakdown_normalize_url": given.flag("breakdown_normalize_url"),
            "breakdown_attribution_type": self.filter.choice("breakdownAttributionType", attribution),
            "breakdown_attribution_value": self.filter.integer("breakdownAttributionValue"),
        }

    def _range(self) -> tuple[int, int]:
        """Return the steps (from 0) between which conversion is measured."""
        last = len(self.series) - 1
        first = self.filter.integer("funnelFromStep", most=max(last, 0)) or 0
        end = self.filter.integer("funnelToStep", most=max(last, 0))
        end = last if end is None else end
        if self.shown != "steps" and first >= end > 0:
            raise Invalid("The step to convert to must come after the one to convert from.",
                          attr=self.filter.attr("funnelToStep"))  # fmt: skip
        if self.shown == "time_to_convert" and last == 0:
            raise unsupported("the time to convert of a funnel with one step", self.filter, "funnelVizType")
        return first, end

    def _steps(self) -> list[Any]:
        rows = funnel_rows(self.query)
        nobody = (None,) * len(self.series)
        if self.query.breakdown is None:
            return self._of_row(rows[0] if rows else FunnelRow((), (0,) * len(self.series), nobody, nobody), {})
        names = self._cohort_names()
        return [self._of_row(row, self._of_value(row.value, names)) for row in rows]

    def _of_row(self, row: FunnelRow, value: dict[str, Any]) -> list[dict[str, Any]]:
        found = []
        for order, series in enumerate(self.series):
            found.append({
                **self._step(series, order),
                "people": [],
                "count": plain(scaled(row.reached[order], self.sampling)),
                "average_conversion_time": row.averages[order],
                "median_conversion_time": row.medians[order],
                "converted_people_url": None,
                "dropped_people_url": None,
                **value,
            })  # fmt: skip
        return found

    def _step(self, series: Series, order: int) -> dict[str, Any]:
        if self.query.order == "unordered":
            name = f"Completed {order + 1} step{'s' if order else ''}"
            return {
                "action_id": None, "name": name, "custom_name": None, "order": order, "type": series.entity.type
            }  # fmt: skip
        return {
            "action_id": series.entity.id,
            "name": series.label,
            "custom_name": series.custom_name,
            "order": order,
            "type": series.entity.type,
        }

    def _cohort_names(self) -> dict[str, str]:
        breakdown = self.query.breakdown
        if breakdown is None or breakdown.type != "cohort":
            return {}
        rows = fetch_rows(_NAMES, [self.project.team_id, list(breakdown.cohort_ids)])
        return {EVERYBODY: "all users", **{str(number): name or "" for number, name in rows}}

    def _of_value(self, value: tuple[str, ...], names: Mapping[str, str]) -> dict[str, Any]:
        if self.query.breakdown is not None and self.query.breakdown.type == "cohort":
            (one,) = value
            return {"breakdown": names.get(one, one), "breakdown_value": ALL_USERS if one == EVERYBODY else int(one)}
        if self.query.breakdown is not None and self.query.breakdown.type == "group":
            return {"breakdown": value[0], "breakdown_value": value[0]}
        return {"breakdown": list(value), "breakdown_value": list(value)}

    def _time_to_convert(self) -> dict[str, Any]:
        found = time_to_convert(self.query, from_step=self.from_step, to_step=self.to_step, bins=self.bins)
        return {
            "bins": [[least, plain(scaled(count, self.sampling))] for least, count in found.bins],
            "average_conversion_time": found.average,
            "median_conversion_time": found.median,
        }

    def _trends(self) -> list[dict[str, Any]]:
        rows = funnel_conversions(
            self.query, from_step=self.from_step, to_step=self.to_step, interval=self.step,
            week_start=self.project.week_start_day,
        )  # fmt: skip
        by_value: dict[tuple[str, ...], dict[int, Conversion]] = {} if self.query.breakdown is not None else {(): {}}
        for row in rows:
            by_value.setdefault(row.value, {})[row.start] = row
        names = self._cohort_names()
        return [
            {**self._trend(found), **(self._of_value(value, names) if self.query.breakdown is not None else {})}
            for value, found in by_value.items()
        ]

    def _trend(self, found: Mapping[int, Conversion]) -> dict[str, Any]:
        zone = self.project.timezone
        rates = []
        for span in self.spans:
            one = found.get(int(span.start.timestamp()))
            rates.append(plain(round(100 * one.converted / one.came, 2)) if one is not None and one.came else 0)
        return {
            "count": len(rates),
            "data": rates,
            "days": [calendar.day(span, self.step, zone) for span in self.spans],
            "labels": [calendar.label(span, self.step, zone) for span in self.spans],
        }
