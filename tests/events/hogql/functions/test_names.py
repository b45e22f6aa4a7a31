"""Names and counts of arguments: what is found, what is said of what is not."""

import subprocess
import sys
from pathlib import Path

import pytest

from events.hogql.errors import HogQLResolutionError
from events.hogql.functions.page import page
from events.hogql.functions.registry import FUNCTIONS, find, suggestions

PAGE = Path(__file__).parents[4] / "docs" / "hogql_functions.md"

DOCUMENTED = """
    toInt toFloat toDecimal toDate toDateTime toDateTime64 toUUID toString toJSONString parseDateTime
    parseDateTimeBestEffort plus gcd lcm max2 min2 multiplyDecimal divideDecimal range has indexOf arrayJoin
    arrayZip arrayReduce arrayFold toYear toStartOfDay dateDiff dateTrunc dateAdd dateSub addDays subtractDays
    now today yesterday formatDateTime fromUnixTimestamp toIntervalDay position match multiSearchAny extract
    like countSubstrings replaceRegexpAll if multiIf sqrt round map splitByChar bitAnd bitmapBuild domain path
    extractURLParameter cutQueryString isValidJSON JSONHas JSONLength JSONType JSONExtractUInt
    JSONExtractKeysAndValuesRaw greatCircleDistance coalesce ifNull nullIf tuple tumble L2Distance isFinite
    isNaN transform bar formatReadableSize count min max sum avg any anyLast anyHeavy argMin argMax stddevPop
    varSamp covarPop corr quantile quantiles median medianExact topK groupArray groupArraySample groupUniqArray
    groupBitAnd uniq uniqExact uniqHLL12 uniqTheta sumMap minMap maxMap avgWeighted deltaSum skewPop kurtSamp
    simpleLinearRegression windowFunnel array_agg json_agg string_agg every sortableSemver sumIf uniqState
    sumMerge avgMap sumForEach avgArray row_number rank dense_rank lag lead first_value last_value nth_value
"""


@pytest.mark.parametrize(
    ("name", "arguments", "parameters", "message"),
    [
        ("count", 4, None, "Aggregation 'count' requires between 0 and 1 arguments, found 4"),
        ("countIf", 0, None, "Aggregation 'countIf' requires between 1 and 2 arguments, found 0"),
        ("uniq", 0, None, "Aggregation 'uniq' requires at least 1 argument, found 0"),
        ("avg", 2, None, "Aggregation 'avg' requires 1 argument, found 2"),
        ("argMax", 1, None, "Aggregation 'argMax' requires 2 arguments, found 1"),
        ("quantile", 1, None, "Aggregation 'quantile' requires parameters in addition to arguments"),
        ("quantile", 1, 0, "Aggregation 'quantile' expects 1 parameter, found 0"),
        ("quantile", 1, 2, "Aggregation 'quantile' expects 1 parameter, found 2"),
        ("quantiles", 1, 0, "Aggregation 'quantiles' expects at least 1 parameter, found 0"),
        ("topK", 1, 4, "Aggregation 'topK' expects at most 3 parameters, found 4"),
        ("sum", 1, 1, "Aggregation 'sum' does not accept parameters"),
        ("length", 1, 1, "Function 'length' does not accept parameters"),
        ("now", 2, None, "Function 'now' expects at most 1 argument, found 2"),
        ("toYear", 0, None, "Function 'toYear' expects 1 argument, found 0"),
        ("plus", 3, None, "Function 'plus' expects 2 arguments, found 3"),
        ("multiIf", 2, None, "Function 'multiIf' expects at least 3 arguments, found 2"),
        ("substring", 4, None, "Function 'substring' expects at most 3 arguments, found 4"),
    ],
)
def test_counts_are_checked(name: str, arguments: int, parameters: int | None, message: str) -> None:
    function = find(name)
    assert function is not None
    with pytest.raises(HogQLResolutionError) as refused:
        function.check(arguments, parameters)
    assert refused.value.message == message


def test_case_matters_for_some_names_only() -> None:
    any_case = ("COUNT", "Sum", "NOW", "IfNull", "COALESCE", "Lower", "IF", "ROUND", "SortableSemVer", "length")
    assert all(find(name) for name in any_case)
    assert not any(
        find(name) for name in ("tostring", "COUNTIF", "toyear", "ARRAYMAP", "uniqexact", "JsonExtract", "MULTIIF")
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("noway", ["now"]),
        ("tostring", ["toString"]),
        ("mad", []),
        ("hamburger", []),
        ("multiif", ["multiIf"]),
        ("", []),
    ],
)
def test_names_that_are_nearly_right_are_suggested(name: str, meant: list[str]) -> None:
    assert suggestions(name)[:1] == meant


def test_no_more_than_three_names_are_suggested() -> None:
    assert len(suggestions("toStartOfDa")) == 3
    assert suggestions("x" * 100_000) == []


def test_aliases_are_the_same_function() -> None:
    for name, other in (
        ("toTimezone", "toTimeZone"),
        ("array_agg", "groupArray"),
        ("date_trunc", "dateTrunc"),
        ("ln", "log"),
    ):
        first, second = find(name), find(other)
        assert first is not None
        assert second is not None
        assert first.clickhouse == second.clickhouse


def test_what_posthog_documents_is_there() -> None:
    assert [name for name in DOCUMENTED.split() if find(name) is None] == []


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "python -m events.hogql.functions.page > docs/hogql_functions.md"


def test_the_page_has_every_function() -> None:
    written = page()
    assert [name for name in FUNCTIONS if f"| `{name}` |" not in written] == []
    assert all(
        len(row.replace("\\|", "").split("|")) == 7
        for row in written.splitlines()
        if row.startswith("| `") and row.count("|") > 4
    )


def test_the_page_is_written_without_the_server() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "events.hogql.functions.page"], capture_output=True, text=True, check=True
    )
    assert run.stdout == page()
