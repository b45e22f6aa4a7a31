"""The allow-list of HogQL's functions and aggregations, and how a name is found in it."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Final

from events.hogql.functions import casts, times, values
from events.hogql.functions.combinators import combined
from events.hogql.functions.definition import Argument, Call, Function
from events.hogql.functions.table import functions
from events.hogql.functions.values import REDUCERS

__all__ = ["FUNCTIONS", "REDUCERS", "Argument", "Call", "Function", "find", "suggestions"]

_CLOSE: Final = 0.7
_LONGEST_NAME: Final = 100


_SPECIAL: Final = casts.SPECIAL | times.SPECIAL | values.SPECIAL

FUNCTIONS: Final[Mapping[str, Function]] = {
    function.name: function for function in functions(Path(__file__).parent / "lists", _SPECIAL)
}
_LOWERED: Final[Mapping[str, Function]] = {
    name.lower(): function for name, function in FUNCTIONS.items() if not function.case_sensitive
}


def find(name: str) -> Function | None:
    """Return the function of this name, whose case may differ where ClickHouse allows it.

    Aggregations are found with combinators behind their names too, three at most.
    """
    if len(name) > _LONGEST_NAME:
        return None
    return FUNCTIONS.get(name) or _LOWERED.get(name.lower()) or _combined(name)


@lru_cache(maxsize=1024)
def _combined(name: str) -> Function | None:
    return combined(name, FUNCTIONS)


def suggestions(name: str) -> list[str]:
    """Return at most three names that may be meant, the likeliest first."""
    if len(name) > _LONGEST_NAME:
        return []
    lowered = name.lower()
    spelled = [each for each in FUNCTIONS if each.lower() == lowered]
    # Names with `_` in front are spellings that nobody should learn.
    offered = [each for each in FUNCTIONS if not each.startswith("_")]
    return spelled or get_close_matches(name, offered, n=3, cutoff=_CLOSE)
