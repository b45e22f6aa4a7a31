"""Names of aggregations with combinators behind them: `sumIf`, `uniqState`, `avgMapMergeIf`.

They are not listed one by one: which names there are, how many arguments they take and what they return follows from
the aggregation and the combinators.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from events.hogql.functions.definition import Arity, Function, Returns
from events.hogql.types import UNKNOWN, Type

COMBINATORS: Final[Mapping[str, str]] = {
    "If": "Only rows for which the last argument holds.",
    "Array": "All items of the arrays that are the arguments.",
    "Map": "Each key of a map by itself.",
    "ForEach": "Each place of arrays by itself.",
    "Distinct": "Each different value once.",
    "OrNull": "NULL where there are no rows.",
    "OrDefault": "0 or empty where there are no rows.",
    "State": "What has been gathered so far, to be merged later.",
    "Merge": "The result of states that State returned.",
    "ArgMin": "Only the rows where the last argument is smallest.",
    "ArgMax": "Only the rows where the last argument is largest.",
}
MOST: Final = 3
_CHAIN = re.compile("|".join(sorted(COMBINATORS, key=len, reverse=True)))
# Upstream returns NULL, and not NaN, where all arrays are empty.
_WRITTEN: Final = {"avgArray": "avgArrayOrNull", "medianArray": "medianArrayOrNull"}
_MORE_ARGUMENTS: Final = frozenset({"If", "ArgMin", "ArgMax"})


def combined(name: str, listed: Mapping[str, Function]) -> Function | None:
    """Return the aggregation of a name with combinators; None when it is none."""
    for end in range(len(name) - 1, 0, -1):
        base = listed.get(name[:end])
        if base is None or not base.aggregate or "(" in base.clickhouse:
            continue
        chain = _CHAIN.findall(name[end:])
        if "".join(chain) == name[end:] and 0 < len(chain) <= MOST and len(set(chain)) == len(chain):
            return _combined(base, name, chain)
    return None


def _combined(base: Function, name: str, chain: Sequence[str]) -> Function:
    arity, returns, written = base.arity, base.returns, base.clickhouse
    for combinator in chain:
        arity = _arity(arity, combinator)
        returns = _RETURNS[combinator](returns)
        written += combinator
    return replace(
        base,
        name=name,
        clickhouse=_WRITTEN.get(written, written),
        arity=arity,
        returns=_RETURNS["OrNull"](returns) if written in _WRITTEN else returns,
        case_sensitive=True,
        constants=(),
        combinators=tuple(chain),
    )


def _arity(arity: Arity, combinator: str) -> Arity:
    least, most = arity
    if combinator in _MORE_ARGUMENTS:
        return least + 1, None if most is None else most + 1
    if combinator == "Merge":
        return 1, 1
    return max(least, 1) if combinator in ("Array", "Map", "ForEach") else least, most


def _without_last(base: Returns) -> Returns:
    return lambda types: base(types[:-1])


def _nullable(base: Returns) -> Returns:
    def returns(types: Sequence[Type]) -> Type:
        found = base(types)
        return found if found.kind in ("Array", "Map") else found.or_null()

    return returns


def _of_items(base: Returns) -> Returns:
    return lambda types: base([_item(each) for each in types])


def _item(given: Type) -> Type:
    return given.items[-1] if given.kind in ("Array", "Map") and given.items else UNKNOWN


def _state(base: Returns) -> Returns:
    del base
    return lambda _: replace(UNKNOWN, nullable=False)


def _map(base: Returns) -> Returns:
    def returns(types: Sequence[Type]) -> Type:
        given = types[0] if types else UNKNOWN
        key = given.items[0] if given.kind == "Map" and given.items else UNKNOWN
        return Type("Map", items=(key, base([_item(given)])))

    return returns


_RETURNS: Final[Mapping[str, Callable[[Returns], Returns]]] = {
    "If": _without_last,
    "ArgMin": _without_last,
    "ArgMax": _without_last,
    "Distinct": lambda base: base,
    "OrDefault": lambda base: base,
    "OrNull": _nullable,
    "Array": _of_items,
    "ForEach": lambda base: lambda types: Type("Array", items=(base([_item(each) for each in types]),)),
    "Map": _map,
    "State": _state,
    "Merge": lambda base: lambda _: base([UNKNOWN]),
}
