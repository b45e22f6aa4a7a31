"""The series of a trend's answer, and those that formulas make of them."""

import math
from collections.abc import Mapping, Sequence
from copy import copy
from datetime import date
from typing import Any, Final

from core.query.runners.insights.breakdown import Key
from core.query.runners.insights.common import plain
from core.query.runners.insights.trends_display import NamedFormula, TrendsDisplay

_LABELS: Final = {False: "current", True: "previous"}
_SATURDAY: Final = 5


class Item:
    """One series of an answer: numbers of intervals, or `total`, one number over the whole range."""

    def __init__(
        self,
        frame: Mapping[str, Any],
        *,
        data: Sequence[float | None],
        total: float | None,
        previous: bool | None,
        cumulative: bool,
    ) -> None:
        """Take what is known without the numbers, and the numbers; `previous` is None where nothing is compared."""
        self.frame = dict(frame)
        self.data = list(data)
        self.total = total
        self.previous = previous
        self.cumulative = cumulative
        self.is_other = self.is_missing = False

    def broken_down(self, value: Key, label: str, *, several: bool) -> None:
        """Set the value of the breakdown; with several series the label names both."""
        self.frame["breakdown_value"] = value
        self.frame["label"] = f"{self.frame['label']} - {label}" if several else label

    @property
    def count(self) -> float:
        """Return the sum of the data, or what it has come to at the end."""
        known = [number for number in self.data if number is not None]
        return (known[-1] if known else 0.0) if self.cumulative else math.fsum(known)

    @property
    def rank(self) -> tuple[int, float, str]:
        """Return what series with different values are sorted by: the largest first, then no value, then others."""
        size = self.count if self.total is None else self.total
        return 2 if self.is_other else int(self.is_missing), -size, repr(self.frame.get("breakdown_value"))

    def without_weekends(self) -> "Item":
        """Return the series of days without Saturdays and Sundays, whose events stay in running totals and means."""
        days = self.frame["days"]
        kept = [place for place, day in enumerate(days) if date.fromisoformat(day).weekday() < _SATURDAY]
        found = copy(self)
        found.data = [self.data[place] for place in kept]
        found.frame = {**self.frame, **_only(self.frame, ("days", "labels"), kept)}
        action = self.frame["action"]
        if action is not None:
            found.frame["action"] = {**action, **_only(action, ("days",), kept)}
        return found

    def shown(self) -> dict[str, Any]:
        """Return the series as it is answered."""
        shown = {**self.frame, "data": [None if number is None else plain(number) for number in self.data]}
        shown["count"] = 0 if self.total is not None else plain(self.count)
        if self.total is not None:
            shown["aggregated_value"] = plain(self.total)
        if self.previous is not None:
            shown["compare"], shown["compare_label"] = True, _LABELS[self.previous]
        return shown


def _only(frame: Mapping[str, Any], names: Sequence[str], places: Sequence[int]) -> dict[str, Any]:
    return {name: [frame[name][place] for place in places] for name in names}


def with_formulas(
    display: TrendsDisplay, listed: Sequence[Sequence[Item]], *, series: int, compared: bool
) -> list[Item]:
    """Return the items of all series, or of the formulas over so many series.

    A formula is reckoned for each value of the breakdown and each range; a series without the value counts as 0.
    """
    if not display.formulas:
        return [item for items in listed for item in items]
    found = []
    for formula in display.formulas:
        of_formula: list[Item] = []
        for previous in [False, True] if compared else [None]:
            ranged = [[item for item in items if item.previous == previous] for items in listed]
            orders = _by_order(ranged, series)
            of_formula += sorted(_of_formula(formula, orders, display), key=lambda item: item.rank)
        found += of_formula
    return found


def _by_order(listed: Sequence[Sequence[Item]], series: int) -> list[dict[str, Item]]:
    """Return the items of each series by their value."""
    orders: list[dict[str, Item]] = [{} for _ in range(series)]
    for item in (item for items in listed for item in items):
        orders[item.frame["action"]["order"]][repr(item.frame.get("breakdown_value"))] = item
    return orders


def _of_formula(formula: NamedFormula, orders: Sequence[Mapping[str, Item]], display: TrendsDisplay) -> list[Item]:
    found = []
    for value in dict.fromkeys(value for items in orders for value in items):
        some = next(items[value] for items in orders if value in items)
        given = [items.get(value) for items in orders]
        total: float | None = None
        data: list[float | None] = []
        if display.total:
            total = formula.evaluate([0.0 if one is None else one.total or 0.0 for one in given]) or 0.0
        else:
            data = [
                formula.evaluate([0.0 if one is None else one.data[place] or 0.0 for one in given])
                for place in range(len(some.data))
            ]
        item = Item(some.frame, data=data, total=total, previous=some.previous, cumulative=False)
        item.frame |= {"action": None, "label": formula.label}
        item.is_other, item.is_missing = some.is_other, some.is_missing
        found.append(item)
    return found
