"""Functions that are more than a name: what they return on the real engine, and what they refuse."""
# ruff: noqa: S608 calls of our own lists

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.hogql.errors import HogQLResolutionError
from events.hogql.functions.registry import Argument, find
from events.hogql.types import DATE, DATETIME, FLOAT, INTEGER, STRING, UNKNOWN, UUID, Type
from tests.events.hogql.functions.engine import CONTEXT, call_of

TIME = Argument("toDateTime64('2024-03-05 10:20:30.5', 6, 'Europe/Berlin')", DATETIME)
NOON = Argument("toDateTime('2024-03-05 23:30:00', 'UTC')", DATETIME)
DAY = Argument("toDate('2024-03-05')", DATE)
type Run = Callable[..., Any]


def text(value: str) -> Argument:
    return Argument("'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'", replace(STRING, constant=True), value)


def number(value: float) -> Argument:
    return Argument(str(value), replace(INTEGER if isinstance(value, int) else FLOAT, constant=True), value)


def column(sql: str, kind: Type = STRING) -> Argument:
    return Argument(f"materialize({sql})", kind)


def written(name: str, *arguments: Argument, **options: Any) -> str:
    function = find(name)
    assert function is not None
    function.check(len(arguments))
    return function.sql(replace(call_of(function, arguments, ()), **options))


@pytest.fixture
def run(clickhouse: ModuleType) -> Run:
    def value_of(name: str, *arguments: Argument, **options: Any) -> Any:
        ((value,),) = clickhouse.query(f"SELECT {written(name, *arguments, **options)}").rows
        return value

    return value_of


def refusal(name: str, *arguments: Argument) -> str:
    with pytest.raises(HogQLResolutionError) as refused:
        written(name, *arguments)
    return refused.value.message


@pytest.mark.parametrize(
    ("name", "argument", "expected"),
    [
        ("toInt", column("'12'"), 12),
        ("toInt", column("'1.5'"), None),
        ("toInt", column("''"), None),
        ("toInt", column("1.9", FLOAT), 1),
        ("toInt", column("'12'", UNKNOWN), 12),
        ("toInt", column("NULL", UNKNOWN), None),
        ("toFloat", column("'1.5'"), 1.5),
        ("toFloat", column("'x'"), None),
        ("toFloat", column("3", INTEGER), 3.0),
        ("toIntOrZero", column("'x'"), 0),
        ("toFloatOrZero", column("2", INTEGER), 2.0),
        ("toUUID", column("'x'"), None),
        ("toString", column("1", INTEGER), "1"),
        ("toNullableString", column("1", INTEGER), "1"),
    ],
)
def test_conversions_follow_the_type(run: Run, name: str, argument: Argument, expected: object) -> None:
    assert run(name, argument) == expected


def test_a_decimal_has_as_many_places_as_asked_for(run: Run) -> None:
    assert str(run("toDecimal", text("1.234"), number(2))) == "1.23"
    assert run("toDecimal", text("x"), number(2)) is None
    assert (
        refusal("toDecimal", text("1"), number(99))
        == "The second argument of function 'toDecimal' must be a number from 0 to 18"
    )
    assert (
        refusal("toDecimal", text("1"), column("2", INTEGER)) == "Argument 2 of function 'toDecimal' must be a constant"
    )


def test_concat_takes_anything_and_null_is_empty(run: Run) -> None:
    null = column("CAST(NULL, 'Nullable(String)')", STRING.or_null())
    assert run("concat", text("a"), null, column("1", INTEGER), column("toNullable(2)", INTEGER.or_null())) == "a12"
    assert run("concat", text("a")) == "a"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-03-05 10:20:30", datetime(2024, 3, 5, 9, 20, 30, tzinfo=UTC)),
        ("2024-03-05", datetime(2024, 3, 4, 23, tzinfo=UTC)),
        ("2024-03-05 10:20:30.25", datetime(2024, 3, 5, 9, 20, 30, 250_000, tzinfo=UTC)),
        ("2024-03-05T10:20:30Z", datetime(2024, 3, 5, 10, 20, 30, tzinfo=UTC)),
        ("5 Mar 2024 10:20", datetime(2024, 3, 5, 9, 20, tzinfo=UTC)),
        ("2024-13-45", None),
        ("2024-02-30 10:00:00", datetime(2024, 3, 1, 9, tzinfo=UTC)),
        ("soon", None),
        ("", None),
    ],
)
def test_text_becomes_a_time_in_the_zone_of_the_project(run: Run, value: str, expected: datetime | None) -> None:
    for given_as in (text(value), column(f"'{value}'")):
        found = run("toDateTime", given_as)
        shown = found if found is None or found.tzinfo else found.replace(tzinfo=UTC)
        if value not in UNLIKE:
            assert shown == expected, given_as


# The engine's best effort reads these in its own way, the same for both.
UNLIKE = frozenset({"2024-02-30 10:00:00", "2024-13-45"})


def test_a_plain_constant_is_never_null_and_other_text_may_be() -> None:
    function = find("toDateTime")
    assert function is not None
    types = [
        function.result(call_of(function, [one], ()))
        for one in (text("2024-03-05"), text("2024-02-30"), column("'x'"), TIME)
    ]
    assert types == [DATETIME, DATETIME.or_null(), DATETIME.or_null(), DATETIME]
    assert written("toDateTime", text("2024-03-05")) == "toDateTime64('2024-03-05', 6, 'Europe/Berlin')"
    assert written("toDateTime", text("2024-03-05"), text("UTC")) == "toDateTime64('2024-03-05', 6, 'UTC')"


def test_the_zone_of_the_project_is_added_where_none_is_given() -> None:
    zone = "'Europe/Berlin'"
    assert written("now") == f"now64(6, {zone})"
    assert written("NOW", text("UTC")) == "now64(6, 'UTC')"
    assert written("today") == f"toDate(now({zone}))"
    assert written("toTimeZone", TIME) == f"toTimeZone({TIME.sql}, {zone})"
    assert written("toTimezone", TIME, text("UTC")) == f"toTimeZone({TIME.sql}, 'UTC')"
    assert written("parseDateTime", text("5"), text("%d")) == f"parseDateTimeOrNull('5', '%d', {zone})"
    assert written("parseDateTimeBestEffort", text("5")) == f"parseDateTime64BestEffortOrNull('5', 6, {zone})"
    assert written("toDateTime64", text("2024-03-05"), number(3)) == f"toDateTime64('2024-03-05', 3, {zone})"
    assert written("fromUnixTimestamp", number(5)) == f"toDateTime(5, {zone})"
    assert (
        written("fromUnixTimestamp64Milli", column("5", INTEGER)) == f"fromUnixTimestamp64Milli(materialize(5), {zone})"
    )


def test_a_date_is_that_of_the_zone(run: Run) -> None:
    assert run("toDate", NOON) == date(2024, 3, 5)
    assert run("toDate", NOON, text("Europe/Berlin")) == date(2024, 3, 6)
    assert run("toDate", text("2024-03-05 10:00:00")) == date(2024, 3, 5)
    assert run("toDate", column("'x'")) is None
    assert written("toDate", DAY) == DAY.sql


def test_a_week_begins_on_the_day_of_the_project(run: Run) -> None:
    sunday = Argument("toDate('2024-03-10')", DATE)
    assert run("toStartOfWeek", sunday) == date(2024, 3, 4)
    assert run("toStartOfWeek", sunday, context=replace(CONTEXT, week_start_day=0)) == date(2024, 3, 10)
    assert run("toStartOfWeek", sunday, number(0)) == date(2024, 3, 10)
    assert run("toLastDayOfWeek", sunday) == date(2024, 3, 10)


def test_times_move_by_intervals_and_by_units(run: Run) -> None:
    week = Argument("toIntervalWeek(1)", Type("Interval"))
    assert run("dateAdd", DAY, week) == date(2024, 3, 12)
    assert run("date_sub", DAY, week) == date(2024, 2, 27)
    assert run("dateAdd", text("DAY"), number(2), DAY) == date(2024, 3, 7)
    assert run("dateSub", text("months"), number(1), DAY) == date(2024, 2, 5)
    assert refusal("dateAdd", text("eon"), number(2), DAY).startswith(
        "The first argument of function 'dateAdd' must be one of: "
    )
    assert refusal("dateAdd", column("'day'"), number(2), DAY) == "Argument 1 of function 'dateAdd' must be a constant"


def test_units_may_be_large_letters_and_plural(run: Run) -> None:
    assert run("dateDiff", text("Days"), DAY, Argument("toDate('2024-03-10')", DATE)) == 5
    assert run("dateTrunc", text("MONTH"), TIME) == date(2024, 3, 1)
    assert run("age", text("year"), Argument("toDate('2022-03-06')", DATE), DAY) == 1
    assert refusal("dateDiff", text("day'"), DAY, DAY).startswith("The first argument")
    assert refusal("dateTrunc", column("'day'"), TIME) == "Argument 1 of function 'dateTrunc' must be a constant"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("year", 2024), ("quarter", 1), ("month", 3), ("day", 5), ("hour", 10), ("minute", 20), ("second", 30),
        ("dow", 2), ("doy", 65), ("week", 10), ("epoch", 1709630430),
    ],
)  # fmt: skip
def test_parts_of_a_time_have_names(run: Run, part: str, expected: int) -> None:
    assert run("date_part", text(part), TIME) == expected


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("trim", (" a ",), "a"),
        ("trim", ("xax", "x"), "a"),
        ("TRIM", ("[a]", "]["), "a"),
        ("trimLeft", ("xxa", "x"), "a"),
        ("rtrim", ("a^^", "^"), "a"),
        ("left", ("äöü", 2), "äö"),
        ("right", ("äöü", 2), "öü"),
        ("split_part", ("a,b,c", ",", 2), "b"),
        ("split_part", ("a,b,c", ",", 9), ""),
        ("md5", ("a",), "0CC175B9C0F1B6A831C399E269772661"),
        ("substr", ("abc", 2), "bc"),
        ("make_date", (2024, 3, 5), date(2024, 3, 5)),
        ("generateSeries", (1, 5, 2), [1, 3, 5]),
    ],
)
def test_names_of_other_dialects(run: Run, name: str, arguments: tuple[str | int, ...], expected: object) -> None:
    assert run(name, *(text(one) if isinstance(one, str) else number(one) for one in arguments)) == expected


def test_arrays_sort_both_ways(run: Run) -> None:
    array = Argument("[3, 1, 2]", Type("Array", items=(INTEGER,)))
    assert run("arrayReverseSort", array) == [3, 2, 1]
    assert run("arraySort", Argument("x -> -x", Type("Lambda", items=(INTEGER,))), array) == [3, 2, 1]


def test_a_fold_may_begin_with_a_small_number(run: Run) -> None:
    array = Argument("[300, 1]", Type("Array", items=(INTEGER,)))
    assert run("arrayFold", Argument("(a, x) -> a + x", Type("Lambda", items=(INTEGER,))), array, number(0)) == 301


def test_array_reduce_takes_only_known_aggregations(run: Run) -> None:
    array = Argument("[1, 2, 2]", Type("Array", items=(INTEGER,)))
    assert run("arrayReduce", text("max"), array) == 2
    assert run("arrayReduce", text("quantile(0.5)"), array) == 2
    assert run("arrayReduce", text("uniqExact"), array) == 2
    for name in (
        "sumState",
        "file",
        "maxIf",
        "max'",
        "max)(",
        "MAX",
        "",
        "quantile(0.5",
        "quantile(x)",
        "groupArray\x00",
    ):
        assert refusal("arrayReduce", text(name), array).startswith("Function 'arrayReduce' cannot be used with"), name
    assert refusal("arrayReduce", column("'max'"), array) == "Argument 1 of function 'arrayReduce' must be a constant"


JSON = text('{"a": {"b": [1, 2]}, "c": "x", "d": "61f0c404-5cb3-11e7-907b-a6006ad3dba0"}')


@pytest.mark.parametrize(
    ("path", "wanted", "expected", "kind"),
    [
        (("c",), "String", "x", STRING),
        (("a", "b"), "Array(Int64)", [1, 2], Type("Array", items=(INTEGER,))),
        (("nothing",), "Nullable(Float64)", None, FLOAT.or_null()),
        (("a", "b"), "Tuple(UInt8, Int8)", (1, 2), Type("Tuple", items=(INTEGER, INTEGER))),
        (("c",), "LowCardinality(String)", "x", STRING),
        (("d",), "UUID", None, UUID),
        (("a", "b", 1), "Int64", 1, INTEGER),
        (("a", "b", 1), "Decimal(10, 2)", None, Type("Decimal")),
    ],
)
def test_json_is_read_as_the_type_that_is_named(
    run: Run, path: tuple[str | int, ...], wanted: str, expected: object, kind: Type | None
) -> None:
    arguments = (JSON, *(text(one) if isinstance(one, str) else number(one) for one in path), text(wanted))
    found = run("JSONExtract", *arguments)
    assert expected is None or found == expected
    function = find("JSONExtract")
    assert function is not None
    assert function.result(call_of(function, arguments, ())) == kind


@pytest.mark.parametrize(
    "wanted",
    [
        "", "Int", "AggregateFunction(sum, Int64)", "Array", "Array(", "Array(Int64", "Int64)", "Int64; DROP", "JSON",
        "Enum8('a' = 1)", "Nullable()", "Object('json')", "Dynamic", "Variant(String)", "((", ",", "Array(" * 300,
        "Map(String)", "Array()", "Array(3)", "String(", "Tuple()",
    ],
)  # fmt: skip
def test_json_is_read_as_plain_types_only(wanted: str) -> None:
    message = "The last argument of function 'JSONExtract' must name a type, such as 'String'"
    assert refusal("JSONExtract", JSON, text(wanted)) == message
    assert refusal("JSONExtract", JSON, column("'String'")) == message


def test_members_of_tuples_have_their_types() -> None:
    function = find("tupleElement")
    assert function is not None
    pair = Argument("(1, 'a')", Type("Tuple", items=(INTEGER, STRING)))
    assert function.result(call_of(function, [pair, number(2)], ())) == STRING
    assert function.result(call_of(function, [pair, number(3)], ())) == UNKNOWN


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.2.3", [1, 2, 3]),
        (" v1.2.10-beta+5 ", [1, 2, 10]),
        ("1.2", [None]),
        ("01.2.3", [None]),
        ("", [None]),
        ("1.2.3.4", [None]),
        ("99999999999999999999.1.1", [None, 1, 1]),
    ],
)
def test_versions_sort_as_arrays(run: Run, version: str, expected: list[int | None]) -> None:
    assert run("sortablesemver", text(version)) == expected


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 2**31)] * 3), min_size=2, max_size=5))
def test_versions_are_in_the_order_of_their_numbers(
    clickhouse_schema: None, versions: list[tuple[int, int, int]]
) -> None:
    from events import client

    sql = written("sortableSemver", Argument("arrayJoin({versions:Array(String)})", STRING))
    listed = ["v" + ".".join(map(str, version)) for version in versions]
    found = client.query(f"SELECT {sql} AS version ORDER BY version", {"versions": listed}).rows
    assert [tuple(row[0]) for row in found] == sorted(versions)


def test_what_takes_the_square_of_the_length_reads_the_beginning_only(run: Run) -> None:
    long = Argument("repeat('a', 200000)", STRING)
    assert run("editDistance", long, Argument("repeat('b', 300000)", STRING)) == 1000
    assert run("length", Argument(written("base58Encode", long), STRING)) < 1500
    assert (
        run(
            "length",
            Argument(written("URLHierarchy", Argument("concat('http://a.b/', repeat('a/', 100000))", STRING)), STRING),
        )
        < 4200
    )


def test_distinct_and_filter_reach_the_aggregation(clickhouse: ModuleType) -> None:
    values = Argument("toString(number % 3)", STRING)
    for name, arguments, expected in (
        ("json_agg", (values,), '["0","1"]'),
        ("string_agg", (values, text("-")), "0-1"),
        ("count", (values,), 2),
    ):
        sql = written(name, *arguments, distinct=True, filter="number % 3 < 2")
        ((found,),) = clickhouse.query(f"SELECT {sql} FROM (SELECT number FROM numbers(9) ORDER BY number % 3)").rows
        assert (sorted(found) if isinstance(found, str) else found) == (
            sorted(expected) if isinstance(expected, str) else expected
        )


def test_an_aggregation_of_several_parts_has_no_window() -> None:
    names = ("sum", "sumIf", "row_number", "string_agg", "every", "length")
    windowed = [name for name in names if (function := find(name)) and function.windowed]
    assert windowed == ["sum", "sumIf", "row_number"]


def test_a_call_keeps_the_parameters(clickhouse: ModuleType) -> None:
    function = find("quantile")
    assert function is not None
    call = call_of(function, [Argument("number", INTEGER)], ["0.9"])
    assert clickhouse.query(f"SELECT {function.sql(call)} FROM numbers(11)").rows == [(9.0,)]
