"""What makes much of little is stopped by the engine's own limits, soon and whatever the arguments."""
# ruff: noqa: S608 calls of our own

import time
from types import ModuleType
from typing import Final

import pytest

from events.errors import EventStoreError
from events.hogql.functions.registry import find

LIMITS: Final = {"max_memory_usage": 300_000_000, "max_threads": 1}
SECONDS: Final = 2
# ClickHouse looks at the clock between blocks, and the machine is shared.
SOON: Final = 60

GREEDY = {
    "range": "range(1000000000)",
    "arrayMap": "arrayMap(x -> range(1000000), range(1000))",
    "repeat": "repeat('a', 4000000000)",
    "space": "space(4000000000)",
    "leftPad": "leftPad('a', 4000000000)",
    "leftPadUTF8": "leftPadUTF8('a', 4000000000, 'b')",
    "rightPad": "rightPad('a', 10000000000, 'b')",
    "rightPadUTF8": "rightPadUTF8('a', 1000000000, 'b')",
    "arrayWithConstant": "arrayWithConstant(4000000000, 'abc')",
    "arrayResize": "arrayResize([1], 1000000000)",
    "generateSeries": "range(1, 4000000000 + 1, 1)",
    "timeSlots": "timeSlots(toDateTime(0), 4000000000::UInt32, 1)",
    "geohashesInBox": "geohashesInBox(-180.0, -90.0, 180.0, 90.0, 12)",
    "mapPopulateSeries": "mapPopulateSeries(map(1::UInt64, 10, 5::UInt64, 20), 4000000000)",
    "h3kRing": "h3kRing(630814730351855103, 10000)",
    "h3HexRing": "h3HexRing(599686042433355775, toUInt16(65535))",
    "h3ToChildren": "h3ToChildren(576495936675512319, 15)",
    "arrayFold": "arrayFold((a, x) -> arrayConcat(a, a), range(60), [1])",
    "concat": "arrayFold((a, x) -> concat(a, a), range(60), 'x')",
    "arrayReduce": "arrayReduce('groupArray', range(100000000))",
    "bitmapBuild": "bitmapBuild(range(100000000))",
    "ngrams": "ngrams(repeat('a', 1000000), 1000)",
    "format": "format('{}{}', repeat('a', 100000000), repeat('a', 100000000))",
    "replaceAll": "replaceAll(repeat('a', 100000), 'a', repeat('b', 100000))",
    "replaceRegexpAll": "replaceRegexpAll(repeat('a', 100000), 'a', repeat('b', 100000))",
    "arrayStringConcat": "arrayStringConcat(arrayWithConstant(10000, 'a'), repeat(',', 1000000))",
    "toFixedString": "toFixedString('a', 1000000000)",
    "bar": "bar(1, 0, 1, 100000000)",
    "hex": "hex(repeat(repeat('a', 1000), 1000000))",
    "char": "arrayMap(x -> char(x), range(1000000000))",
    "match": "match('a', '(((((a{1,10}){1,10}){1,10}){1,10}){1,10}){1,10}')",
    "multiMatchAny": "multiMatchAny('a', ['((a{1,100}){1,100}){1,100}'])",
    "groupArrayInsertAt": "groupArrayInsertAt(number, 16777214)",
    "sparkbar": "sparkbar(100000000)(number, number)",
    "contingency": "contingency(number, number)",
    "groupArray": "groupArray(range(1000 + number))",
}
QUICK = {
    "match": "match(concat(repeat('a', 1000000), toString(number)), '(a|aa)*(a|aa)*(a|aa)*b')",
    "like": "like(repeat('a', 1000000), repeat('%a', 1000))",
    "extract": "extract(concat(repeat('a', 1000000), toString(number)), '(a*)*b')",
    "isValidJSON": "isValidJSON(repeat('[', 1000000))",
    "base58Encode": "base58Encode(substring(repeat('a', 1000000), 1, 1000))",
}


def seconds_of(client: ModuleType, sql: str, seconds: int = SECONDS) -> tuple[float, EventStoreError | None]:
    begun = time.monotonic()
    try:
        client.query(sql, settings=LIMITS, seconds=seconds)
    except EventStoreError as stopped:
        return time.monotonic() - begun, stopped
    return time.monotonic() - begun, None


@pytest.mark.parametrize("name", GREEDY)
def test_greed_is_stopped(clickhouse: ModuleType, name: str) -> None:
    assert find(name)
    taken, stopped = seconds_of(clickhouse, f"SELECT ignore({GREEDY[name]}) FROM numbers(1000000)")
    assert stopped is not None
    assert taken < SOON


@pytest.mark.parametrize("name", QUICK)
def test_text_that_is_long_or_hard_to_match_takes_linear_time(clickhouse: ModuleType, name: str) -> None:
    assert find(name)
    # The square of a million steps takes longer on any machine.
    taken, stopped = seconds_of(clickhouse, f"SELECT ignore({QUICK[name]}) FROM numbers(3)", SOON)
    assert stopped is None
    assert taken < SOON
