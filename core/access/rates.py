"""Rates as operators write them, such as `480/minute`, and which of them a request counts in unless told."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

UNLIMITED: Final = "none"
MAX_REQUESTS: Final = 100_000
"""The store keeps about ten bytes for each request of a window."""

EVERY_REQUEST: Final = ("burst", "sustained")
CLICKHOUSE_READS: Final = ("clickhouse_burst", "clickhouse_sustained")
HOGQL: Final = ("hogql",)

_SECONDS: Final = {
    "s": 1, "sec": 1, "second": 1,
    "m": 60, "min": 60, "minute": 60,
    "h": 3_600, "hour": 3_600,
    "d": 86_400, "day": 86_400,
}  # fmt: skip
_RATE: Final = re.compile(rf"([0-9]{{1,6}})/({'|'.join(_SECONDS)})")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in any stretch of so many seconds."""

    requests: int
    seconds: int


@lru_cache(maxsize=1024)
def read_rate(text: str) -> Rate | None:
    """Read `480/minute`; None for `none`, which limits nothing. Raises ValueError for everything else."""
    if text == UNLIMITED:
        return None
    match = _RATE.fullmatch(text)
    if match is None or not 1 <= int(match[1]) <= MAX_REQUESTS:
        message = (
            f"expected a number from 1 to {MAX_REQUESTS} per second, minute, hour or day, such as '480/minute', "
            f"or '{UNLIMITED}', got {text[:100]!r}"
        )
        raise ValueError(message)
    return Rate(int(match[1]), _SECONDS[match[2]])
