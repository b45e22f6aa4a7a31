"""Trends, sentence by sentence as section 7 of insight_actors.md has it."""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.calendar_oracle import start_of

QUANTILES = {"median": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99}
SPANS = {"hour": timedelta(hours=1), "day": timedelta(days=1)}


def counts(moment: datetime, *, since: datetime, until: datetime, interval: str, zone: str, week_start: int) -> bool:
    """Tell whether an event of this time is in the range, whose beginning is rounded as 4.2.5 says."""
    if moment > until:
        return False
    span = SPANS.get(interval)
    if span is not None and until - since < 2 * span:
        return moment >= since
    first = start_of(since, interval, zone, week_start)
    return start_of(moment, interval, zone, week_start) >= first  # type: ignore[operator]


def days_earlier(moment: datetime, days: int, zone: str) -> datetime:
    """Return the same time of the clock some days earlier."""
    return (moment.astimezone(ZoneInfo(zone)) - timedelta(days=days)).astimezone(UTC)


def number(value: Any) -> float | None:
    """Return a finite number, or text that is written like a number of JSON; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d{1,3})?", value, re.ASCII):
        return None
    return float(value) if math.isfinite(float(value)) else None


def value_of(values: Sequence[Any], name: str) -> float | None:
    """Return the value of an actor whose events have these property values; None without any number."""
    numbers = sorted(found for found in map(number, values) if found is not None)
    if not numbers:
        return None
    match name:
        case "sum" | "avg":
            total = sum(numbers)
            return finite(total if name == "sum" else total / len(numbers))
        case "min" | "max":
            return numbers[0] if name == "min" else numbers[-1]
        case _:
            place = QUANTILES[name] * (len(numbers) - 1)
            low, high = numbers[math.floor(place)], numbers[math.ceil(place)]
            return finite(low + (high - low) * (place - math.floor(place)))


def finite(value: float) -> float | None:
    """Return what JSON can have."""
    return value if math.isfinite(value) else None
