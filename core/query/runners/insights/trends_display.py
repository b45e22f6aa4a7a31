"""`trendsFilter`: how a trend is shown, as far as that changes its numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.query.reading import BadNode, Fields
from core.query.runners.insights.common import unsupported
from core.query.runners.insights.formula import Formula, read_formula

NAMES: Final = (
    "smoothingIntervals", "formula", "formulas", "formulaNodes", "display", "showLegend", "legendPosition",
    "showAlertThresholdLines", "breakdown_histogram_bin_count", "aggregationAxisFormat", "aggregationAxisPrefix",
    "aggregationAxisPostfix", "decimalPlaces", "minDecimalPlaces", "xAxisLabel", "yAxisLabel", "showValuesOnSeries",
    "showLabelsOnSeries", "showPercentStackView", "stackBreakdownValues", "yAxisScaleType", "showMultipleYAxes",
    "hiddenLegendIndexes", "resultCustomizationBy", "resultCustomizations", "goalLines", "showConfidenceIntervals",
    "confidenceLevel", "showTrendLines", "showMovingAverage", "movingAverageIntervals",
    "detailedResultsAggregationType", "excludeBoxPlotOutliers", "hideWeekends", "showAnnotations", "metricShowChange",
    "metricChangeIncreaseColor", "metricChangeDecreaseColor", "metricColorByDirection", "metricLineIncreaseColor",
    "metricLineDecreaseColor", "metricSummary",
)  # fmt: skip
LINE: Final = "ActionsLineGraph"
CUMULATIVE: Final = "ActionsLineGraphCumulative"
TOTALS: Final = frozenset({"BoldNumber", "ActionsPie", "ActionsBarValue", "ActionsTable", "WorldMap"})
_OVER_TIME: Final = (LINE, CUMULATIVE, "ActionsBar", "ActionsUnstackedBar", "ActionsStackedBar", "ActionsAreaGraph",
                     "Metric", "Auto")  # fmt: skip
_UNSUPPORTED: Final = ("CalendarHeatmap", "TwoDimensionalHeatmap", "BoxPlot", "SlopeGraph")
MAX_FORMULAS: Final = 20
MAX_SMOOTHING: Final = 1000


@dataclass(frozen=True, slots=True)
class NamedFormula:
    """A formula, and the label of its series."""

    evaluate: Formula
    label: str


@dataclass(frozen=True, slots=True)
class TrendsDisplay:
    """`total`: one number over the whole range. `cumulative`: everything up to each interval.

    `hides_weekends` is about days over time only.
    """

    name: str
    total: bool
    cumulative: bool
    smoothing: int = 1
    formulas: tuple[NamedFormula, ...] = ()
    hides_weekends: bool = False

    def smoothed(self, numbers: Sequence[float]) -> list[float]:
        """Return running totals where asked for, then means with the intervals before, rounded down."""
        found = list(numbers)
        if self.cumulative:
            for place in range(1, len(found)):
                found[place] += found[place - 1]
        if self.smoothing <= 1:
            return found
        windows = (found[max(0, place + 1 - self.smoothing) : place + 1] for place in range(len(found)))
        return [float(math.floor(math.fsum(window) / len(window))) for window in windows]


def read_display(fields: Fields, *, series: int) -> TrendsDisplay:
    """Return `trendsFilter` of a node with so many series. Raises BadNode and Invalid."""
    given = fields.below("trendsFilter")
    if given is None:
        return TrendsDisplay(LINE, total=False, cumulative=False)
    given.only(*NAMES)
    name = given.choice("display", (*_OVER_TIME, *sorted(TOTALS), *_UNSUPPORTED)) or LINE
    if name in _UNSUPPORTED:
        what = f"the display {name}"
        raise unsupported(what, given, "display")
    if given.values.get("breakdown_histogram_bin_count") is not None:
        raise unsupported("bins in trendsFilter; give them in breakdownFilter", given, "breakdown_histogram_bin_count")
    return TrendsDisplay(
        name=name,
        total=name in TOTALS,
        cumulative=name == CUMULATIVE,
        smoothing=given.integer("smoothingIntervals", least=1, most=MAX_SMOOTHING) or 1,
        formulas=tuple(_formulas(given, series)),
        hides_weekends=given.flag("hideWeekends"),
    )


def _formulas(given: Fields, series: int) -> list[NamedFormula]:
    """Return `formulaNodes`, or `formulas`, or `formula`, whichever comes first."""
    nodes = given.values.get("formulaNodes")
    if nodes not in (None, []):
        if not isinstance(nodes, list):
            raise BadNode("Input should be a valid list", (*given.path, "formulaNodes"))
        below = [_node(node, (*given.path, "formulaNodes", number)) for number, node in enumerate(nodes)]
        wanted = [(one.required_text("formula"), one.text("custom_name"), one.attr("formula")) for one in below]
    else:
        texts = given.texts("formulas") or [text for text in [given.text("formula")] if text]
        wanted = [(text, None, given.attr("formula")) for text in texts]
    if len(wanted) > MAX_FORMULAS:
        message = f"List should have at most {MAX_FORMULAS} items"
        raise BadNode(message, (*given.path, "formulas"))
    return [
        NamedFormula(read_formula(text, series=series, attr=attr), name or f"Formula ({text})")
        for text, name, attr in wanted
        if text.strip()
    ]


def _node(node: object, path: tuple[str | int, ...]) -> Fields:
    if not isinstance(node, dict):
        raise BadNode("Input should be an object", path)
    return Fields(node, path).only("formula", "custom_name")
