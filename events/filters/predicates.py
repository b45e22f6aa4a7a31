"""What a filter asks of one stored value: the few predicates to which all operators come down.

Both compilers and nothing else read these. Every operand is ready for comparison: numbers in their plain
decimal form, dates as moments, versions as bounds, patterns as accepted by RE2.
A predicate is true or false for every stored value, also for one that is missing; it is never unknown.
"""

from dataclasses import dataclass
from typing import Literal

type Ordering = Literal["<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class IsSet:
    """The key is there and its value is not JSON null."""


@dataclass(frozen=True, slots=True)
class Equals:
    """The value's comparison form is one of these forms; `plain` says that none is a number, an array or an object."""

    forms: tuple[str, ...]
    plain: bool


@dataclass(frozen=True, slots=True)
class Contains:
    """One of these texts, already in lower case, occurs in the value's text in lower case."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Matches:
    """One of these RE2 patterns matches somewhere in the value's text."""

    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Affix:
    """The value's text starts or ends with one of these texts."""

    texts: tuple[str, ...]
    end: bool


@dataclass(frozen=True, slots=True)
class Compares:
    """The value stands so to the bound: as numbers when the bound is a number, else as texts by code point."""

    ordering: Ordering
    bound: str
    numeric: bool


@dataclass(frozen=True, slots=True)
class Between:
    """The value is a number from `low` to `high`, both included, or (`outside`) a number that is not."""

    low: str
    high: str
    outside: bool = False


@dataclass(frozen=True, slots=True)
class DateWithin:
    """The value is a moment from `since` up to but without `until`, or (`outside`) a moment that is not.

    Microseconds since 1970 UTC.
    """

    since: int | None
    until: int | None
    outside: bool = False


@dataclass(frozen=True, slots=True)
class VersionWithin:
    """The value is a version from `low` up to but without `high`, or (`outside`) a version that is not.

    Bounds are in the sortable form of `events.filters.versions`.
    """

    low: str | None
    high: str | None
    outside: bool = False


@dataclass(frozen=True, slots=True)
class CleanedPath:
    """The value's text, cleaned by `rules` one after the other (pattern, replacement), is one of these paths."""

    rules: tuple[tuple[str, str], ...]
    paths: tuple[str, ...]


type Predicate = (
    IsSet | Equals | Contains | Matches | Affix | Compares | Between | DateWithin | VersionWithin | CleanedPath
)
