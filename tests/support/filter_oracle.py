"""What filters mean, in plain Python: slow, and written without the compilers' tricks."""

import json  # noqa: TID251 a second opinion beside orjson
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import re2

from events.filters.grammar import CohortFilter, Filter, FilterGroup
from events.filters.predicates import (
    Affix,
    Between,
    CleanedPath,
    Compares,
    Contains,
    DateWithin,
    Equals,
    IsSet,
    Matches,
    Predicate,
    VersionWithin,
)
from events.filters.versions import sortable

JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)
ORDERINGS = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


def matches(wanted: Filter, properties: Mapping[str, Any], cohorts: Collection[int] = ()) -> bool:
    if isinstance(wanted, FilterGroup):
        return (all if wanted.type == "AND" else any)(matches(one, properties, cohorts) for one in wanted.values)
    if isinstance(wanted, CohortFilter):
        return wanted.negated != any(cohort in cohorts for cohort in wanted.cohort_ids)
    return wanted.negated != holds(wanted.predicate, properties.get(wanted.key))


def holds(predicate: Predicate, value: Any) -> bool:  # noqa: PLR0911 one for each predicate
    match predicate:
        case IsSet():
            return value is not None
        case Equals(forms):
            return any(equal(value, form) for form in forms)
        case Compares(ordering, bound, numeric=True):
            found = number(value)
            return found is not None and ORDERINGS[ordering](found, Decimal(bound))
        case Between(low, high, outside):
            found = number(value)
            return found is not None and outside != (Decimal(low) <= found <= Decimal(high))
        case DateWithin(since, until, outside):
            return within(moment(value), since, until, outside=outside)
        case VersionWithin(low, high, outside):
            known = isinstance(value, str) or is_number(value)
            return within(sortable(text(value) or "") if known else None, low, high, outside=outside)
    found_text = text(value)
    return found_text is not None and text_holds(predicate, found_text)


def text_holds(predicate: Predicate, value: str) -> bool:
    match predicate:
        case Contains(texts):
            return any(one in lower(value) for one in texts)
        case Matches(patterns):
            return any(re2.search(pattern, value) for pattern in patterns)
        case Affix(texts, end):
            return any(value.endswith(one) if end else value.startswith(one) for one in texts)
        case Compares(ordering, bound):
            return bool(ORDERINGS[ordering](value.encode(), bound.encode()))
        case CleanedPath(rules, paths):
            for pattern, replacement in rules:
                value = re2.sub(pattern, replacement, value)
            return value in paths
    raise TypeError


def within(value: Any, low: Any, high: Any, *, outside: bool) -> bool:
    return value is not None and outside != ((low is None or value >= low) and (high is None or value < high))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: Any) -> Decimal | None:
    if is_number(value):
        return Decimal(repr(value))
    if isinstance(value, str) and len(value) <= 400 and JSON_NUMBER.fullmatch(value):
        return Decimal(value)
    return None


def equal(value: Any, form: str) -> bool:
    found = number(value)
    if found is None:
        return text(value) == form
    return JSON_NUMBER.fullmatch(form) is not None and found == Decimal(form)


def lower(value: str) -> str:
    return "".join("i" if letter == "\u0130" else letter.lower() for letter in value)


def text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list | dict):
        return None if depth(value) > 3 else document(value)
    return scalar(value)


def depth(value: Any) -> int:
    if not isinstance(value, list | dict):
        return 0
    return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)


def document(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ",".join(map(document, value)) + "]"
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
        return "{" + ",".join(f"{document(key)}:{document(value[key])}" for key in keys) + "}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return "null" if value is None else scalar(value)


def scalar(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    digits = f"{Decimal(repr(value)):f}"
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return "0" if digits == "-0" else digits


def moment(value: Any) -> int | None:
    if not (isinstance(value, str) or is_number(value)):
        return None
    written = str(value) if number(value) is None else f"{number(value).normalize():f}"
    if re.fullmatch(r"\d{10}(\.\d{1,9})?", written, re.ASCII):
        return int(Decimal(written) * 1_000_000)
    if re.fullmatch(r"\d{13}", written, re.ASCII):
        return int(written) * 1000
    try:
        day = datetime.strptime(written[:10], "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    if not (re.fullmatch(r"\d{4}-\d\d-\d\d", written[:10], re.ASCII) and 1900 <= day.year <= 2299):
        return None
    return int((with_time(written, day) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))


def with_time(written: str, day: datetime) -> datetime:
    time = re.fullmatch(
        r"[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?:Z|([+-])(\d\d):?(\d\d))?", written[10:], re.ASCII
    )
    if time is None:
        return day
    hours, minutes, seconds, fraction, sign, zone_hours, zone_minutes = time.groups(default="0")
    if int(hours) > 23 or max(int(minutes), int(seconds), int(zone_minutes)) > 59 or int(zone_hours) > 15:
        return day
    micros = int(fraction.ljust(6, "0")[:6])
    zone = timedelta(hours=int(zone_hours), minutes=int(zone_minutes)) * (-1 if sign == "-" else 1)
    return day + timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds), microseconds=micros) - zone
