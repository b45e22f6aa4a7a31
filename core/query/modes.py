"""What `refresh` asks for: which answers that are kept will do, and where a new one is worked out (query.md B3)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from core.query.runners.base import Interval

PAST: Final = timedelta(seconds=10)
"""A range that ended so long before its answer was worked out cannot change any more."""
NEXT_REFRESH: Final = timedelta(minutes=1)


class Mode(StrEnum):
    """How a query is executed, by the words of `refresh`."""

    BLOCKING = "blocking"
    ASYNC = "async"
    ASYNC_EXCEPT_ON_CACHE_MISS = "async_except_on_cache_miss"
    LAZY_ASYNC = "lazy_async"
    FORCE_BLOCKING = "force_blocking"
    FORCE_ASYNC = "force_async"
    CACHE_ONLY = "force_cache"


DESCRIPTION: Final = """\
Whether a kept answer will do, and where a new one is worked out. Answers of equal queries are kept per project.

* `blocking` (default, also `false` and null): a fresh kept answer, else it is worked out while the caller waits.
* `async`: a fresh kept answer; else it is worked out in the background: 202 with `query_status`, and with the old
  answer where there is one. `GET query/{id}/` tells how it goes.
* `async_except_on_cache_miss`: as `async` where an answer is kept, as `blocking` where none is.
* `lazy_async`: as `async`, and kept answers count as fresh for longer.
* `force_blocking` (also `true`): always worked out while the caller waits.
* `force_async`: always worked out in the background.
* `force_cache`: never worked out: the kept answer however old it is, or `{"cache_key", "query_status"}` without any.
"""


class Work(StrEnum):
    """What is done about a query."""

    KEPT = "kept"
    """The kept answer is given; without any, its key."""
    CALCULATE = "calculate"
    BACKGROUND = "background"
    """A job is started; the kept answer, if any, is given with its status."""


class Standing(StrEnum):
    """How a kept answer stands."""

    FRESH = "fresh"
    STALE = "stale"
    MISSING = "missing"


_K, _C, _B = Work.KEPT, Work.CALCULATE, Work.BACKGROUND
MATRIX: Final[dict[Mode, tuple[Work, Work, Work]]] = {
    # what is done with a fresh one, a stale one, and none
    Mode.BLOCKING: (_K, _C, _C),
    Mode.ASYNC: (_K, _B, _B),
    Mode.ASYNC_EXCEPT_ON_CACHE_MISS: (_K, _B, _C),
    Mode.LAZY_ASYNC: (_K, _B, _B),
    Mode.FORCE_BLOCKING: (_C, _C, _C),
    Mode.FORCE_ASYNC: (_B, _B, _B),
    Mode.CACHE_ONLY: (_K, _K, _K),
}
_FRESH: Final = {
    "minute": timedelta(minutes=5),
    "hour": timedelta(hours=1),
    "day": timedelta(hours=6),
    "week": timedelta(days=1),
    "month": timedelta(days=2),
}
_FRESH_LAZILY: Final = {
    **_FRESH,
    "minute": timedelta(minutes=15),
    "hour": timedelta(hours=2),
    "day": timedelta(hours=12),
}


@dataclass(frozen=True, slots=True)
class Freshness:
    """What decides how long an answer is fresh: the interval of the query, and where its range ends, if anywhere."""

    interval: Interval | None
    date_to: datetime | None

    def until(self, last_refresh: datetime) -> datetime:
        """Return when an answer should be worked out anew."""
        return last_refresh + _FRESH[self.interval or "day"]

    def standing(self, last_refresh: datetime, *, now: datetime, mode: Mode) -> Standing:
        """Tell whether an answer is fresh enough for a mode."""
        if self.date_to is not None and self.date_to < last_refresh - PAST:
            return Standing.FRESH
        limits = _FRESH_LAZILY if mode is Mode.LAZY_ASYNC else _FRESH
        return Standing.FRESH if last_refresh + limits[self.interval or "day"] > now else Standing.STALE


def work_of(mode: Mode, standing: Standing) -> Work:
    """Return what is done in a mode about an answer that stands so."""
    return MATRIX[mode][list(Standing).index(standing)]


def read_mode(refresh: Any, is_async: bool | None) -> Mode | None:  # noqa: ANN401, FBT001 members of a body
    """Return the mode of `refresh` and the legacy `async`, which wins; None for what `refresh` cannot be.

    Words that are not known count as none, as with PostHog.
    """
    if refresh is not None and not isinstance(refresh, str | bool):
        return None
    if is_async:
        return Mode.ASYNC
    if refresh is True:
        return Mode.FORCE_BLOCKING
    return Mode(refresh) if refresh in set(Mode) else Mode.BLOCKING
