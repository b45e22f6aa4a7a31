"""`math: "hogql"` of TrendsQuery over HTTP: aggregations of the caller's own, and the actors of what they count."""

from typing import Any
from uuid import uuid4

import pytest

from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from tests.core.insights.asking import Capture
from tests.core.persons.conftest import Api
from tests.core.query.asking import DAY, HOUR, NOON, answer, column, refusal, sent
from tests.core.query.insights.support import series

pytestmark = pytest.mark.usefixtures("clickhouse")
MAY = {"dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-04"}}
EMPTY = {"dateRange": {"date_from": "2023-05-01", "date_to": "2023-05-04"}}
TOTAL = {"trendsFilter": {"display": "BoldNumber"}}
SUM = "sum(toFloat(properties.amount))"
THEIRS = 1_000_000


@pytest.fixture
def orders(api: Api, capture: Capture, stranger: Api) -> dict[str, str]:
    """On May 2 Ann orders twice and Ben once, on May 3 Cem; a neighbour's Ann orders far more."""
    found = {}
    for who, plan, amount, moment in (
        ("ann", "pro", 10, NOON), ("ann", "free", 2.5, NOON + HOUR), ("ben", "free", 4, NOON),
        ("cem", None, 40, NOON + DAY),
    ):  # fmt: skip
        properties = {"amount": amount, "$session_id": who, **({"plan": plan} if plan else {})}
        person = capture(who, "order", timestamp=moment, properties=properties, set={"city": who[0]})
        found[who] = str(person.uuid)
    theirs = [
        NewEvent(
            event="order", distinct_id="ann", uuid=uuid4(), timestamp=NOON + number * HOUR,
            properties={"amount": THEIRS, "plan": "theirs"},
        )
        for number in range(3)
    ]  # fmt: skip
    events_ingest(team=IngestTeam(stranger.team.id), events=theirs)
    return found


def ask(api: Api, math_hogql: str, **node: Any) -> Any:
    given = {"series": series("order", math="hogql", math_hogql=math_hogql), **MAY, **node}
    return answer(api, "TrendsQuery", **given)["results"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("count()", [0, 3, 1, 0]),
        (SUM, [0, 16.5, 40, 0]),
        (f"{SUM} / count(DISTINCT person_id)", [0, 8.25, 40, 0]),
        ("count(DISTINCT e.person_id)", [0, 2, 1, 0]),
        ("uniq(events.distinct_id) * 100 + 1", [0, 201, 101, 0]),
        ("countIf(properties.plan = 'free')", [0, 2, 0, 0]),
        ("count() FILTER (WHERE person.properties.city = 'a')", [0, 2, 0, 0]),
        ("max(toFloat(properties.amount)) - min(toFloat(properties.amount))", [0, 7.5, 0, 0]),
        ("dateDiff('minute', min(timestamp), max(timestamp))", [0, 60, 0, 0]),
        ("length(groupUniqArray(properties.plan))", [0, 2, 0, 0]),
        ("arraySum(arrayMap(x -> x * 2, groupArray(toFloat(properties.amount))))", [0, 33, 80, 0]),
        ("avg(toFloat(properties.plan))", [0, 0, 0, 0]),
        ("sum(1) / 0", [0, 0, 0, 0]),
        ("count() / (SELECT count() FROM events)", [0, 0.75, 0.25, 0]),
        ("countIf(distinct_id IN (SELECT distinct_id FROM events WHERE properties.plan = 'theirs'))", [0, 0, 0, 0]),
        ("count() > 1", [0, 1, 0, 0]),
        ("sum(arrayJoin([1, 2]))", [0, 9, 3, 0]),
        ("uniq($session_id) -- of sessions", [0, 2, 1, 0]),
    ],
)
def test_intervals(api: Api, orders: dict[str, str], expression: str, expected: list[float]) -> None:
    (found,) = ask(api, expression)
    assert found["data"] == expected
    assert found["count"] == sum(expected)
    assert (found["action"]["math"], found["action"]["math_hogql"]) == ("hogql", expression)


@pytest.mark.parametrize(
    ("expression", "expected"), [(SUM, 56.5), ("count() + 1000", 1004), ("uniq(person_id)", 3), ("avg(0 / 0)", 0)]
)
def test_totals(api: Api, orders: dict[str, str], expression: str, expected: float) -> None:
    (found,) = ask(api, expression, **TOTAL)
    assert (found["aggregated_value"], found["data"]) == (expected, [])


@pytest.mark.parametrize(("expression", "expected"), [("count() + 1000", 1000), (SUM, 0), ("count()", 0)])
def test_a_total_of_no_events(api: Api, orders: dict[str, str], expression: str, expected: float) -> None:
    (found,) = ask(api, expression, **TOTAL, **EMPTY)
    assert found["aggregated_value"] == expected
    (found,) = ask(api, expression, **EMPTY)
    assert found["data"] == [0, 0, 0, 0]


@pytest.mark.parametrize("kind", ["event", "hogql"])
def test_a_breakdown(api: Api, orders: dict[str, str], kind: str) -> None:
    key = "plan" if kind == "event" else "properties.plan"
    by = {"breakdownFilter": {"breakdown": key, "breakdown_type": kind, "breakdown_limit": 1}}
    shown = {one["breakdown_value"]: one["data"] for one in ask(api, f"{SUM} + 1", **by)}
    assert shown == {
        "free": [0, 7.5, 0, 0],
        "$$_posthog_breakdown_null_$$": [0, 0, 41, 0],
        "$$_posthog_breakdown_other_$$": [0, 11, 0, 0],
    }
    totals = {one["breakdown_value"]: one["aggregated_value"] for one in ask(api, "count()", **by, **TOTAL)}
    assert totals == {"free": 2, "$$_posthog_breakdown_null_$$": 1, "$$_posthog_breakdown_other_$$": 1}


def test_breakdowns_by_persons_and_by_bins(api: Api, orders: dict[str, str]) -> None:
    by = {"breakdownFilter": {"breakdown": "city", "breakdown_type": "person"}}
    assert {one["breakdown_value"]: one["count"] for one in ask(api, SUM, **by)} == {"a": 12.5, "b": 4, "c": 40}
    bins = {"breakdownFilter": {"breakdown": "amount", "breakdown_histogram_bin_count": 2}}
    assert sum(one["count"] for one in ask(api, SUM, **bins)) == 56.5


def test_formulas_and_several_series(api: Api, orders: dict[str, str]) -> None:
    several = [
        *series("order", math="hogql", math_hogql=SUM), *series("order", math="hogql", math_hogql="uniq(person_id)"),
        *series("order"),
    ]  # fmt: skip
    found = answer(api, "TrendsQuery", series=several, **MAY)["results"]
    assert [one["data"] for one in found] == [[0, 16.5, 40, 0], [0, 2, 1, 0], [0, 3, 1, 0]]
    assert [one["action"]["math_hogql"] for one in found] == [SUM, "uniq(person_id)", None]
    formula = {"trendsFilter": {"formula": "A / B + C"}}
    (found,) = answer(api, "TrendsQuery", series=several, **MAY, **formula)["results"]
    assert found["data"] == [0, 11.25, 41, 0]


def test_running_totals_smoothing_and_an_earlier_range(api: Api, orders: dict[str, str]) -> None:
    (found,) = ask(api, SUM, trendsFilter={"display": "ActionsLineGraphCumulative"})
    assert (found["data"], found["count"]) == ([0, 16.5, 56.5, 56.5], 56.5)
    (found,) = ask(api, SUM, trendsFilter={"smoothingIntervals": 2})
    assert found["data"] == [0, 8, 28, 20]
    later = {"dateRange": {"date_from": "2024-05-03", "date_to": "2024-05-04"}}
    current, previous = ask(api, SUM, **later, compareFilter={"compare": True})
    assert (current["data"], previous["data"]) == ([40, 0], [0, 16.5])
    assert [one["compare_label"] for one in (current, previous)] == ["current", "previous"]


def test_filters_and_the_other_members_of_a_series(api: Api, orders: dict[str, str]) -> None:
    of_plan = series("order", math="hogql", math_hogql=SUM, properties=[{"key": "plan", "value": "free"}])
    assert ask(api, "", series=of_plan)[0]["count"] == 6.5
    # Left over from another math.
    assert ask(api, "", series=series("order", math="total", math_hogql="nonsense ("))[0]["count"] == 4


def test_a_property_with_a_type_needs_no_cast(api: Api, orders: dict[str, str]) -> None:
    assert ask(api, "sum(properties.amount)")[0]["data"] == [0, 16.5, 40, 0]
    of_texts = series("order", math="hogql", math_hogql="max(properties.plan)")
    detail = refusal(api, "TrendsQuery", series=of_texts, **MAY)[2]
    assert detail == "The aggregation must be a number, and is of the type String."


def test_a_sample_stands_for_all(api: Api, capture: Capture) -> None:
    for number in range(40):
        capture(f"p{number}", "order", timestamp=NOON)
    (half,) = ask(api, "count() + 1", samplingFactor=0.5)
    assert half["count"] % 2 == 0
    assert 10 < half["count"] < 70
    assert ask(api, "count() + 1", samplingFactor=1)[0]["count"] == 41


@pytest.mark.parametrize(("factor", "expected"), [(1, 7.25), (0.5, 14.5), (0.8, 7.25 / 0.8)])
def test_what_a_sample_stands_for_is_not_rounded(api: Api, capture: Capture, factor: float, expected: float) -> None:
    for number in range(40):
        capture(f"p{number}", "order", timestamp=NOON)
    (found,) = ask(api, "avg(7.25)", samplingFactor=factor)
    assert found["data"] == pytest.approx([0, expected, 0, 0])
    (found,) = ask(api, "avg(7.25)", samplingFactor=factor, **TOTAL)
    assert found["aggregated_value"] == pytest.approx(expected)
    if factor < 1:
        assert ask(api, "max(1.7e308)", samplingFactor=factor)[0]["data"] == [0, 0, 0, 0]


def test_the_actors_are_those_of_the_events(api: Api, orders: dict[str, str]) -> None:
    source = {
        "kind": "TrendsQuery", **MAY, "series": series("order", math="hogql", math_hogql=f"{SUM} / 7"),
        "breakdownFilter": {"breakdown": "plan"},
    }  # fmt: skip
    point = {"source": source, "day": "2024-05-02", "series": 0}
    found = answer(api, "InsightActorsQuery", **point)["results"]
    assert dict(found) == {orders["ann"]: 2, orders["ben"]: 1}
    assert column(answer(api, "InsightActorsQuery", **point, breakdown="pro")) == [orders["ann"]]
    listed = answer(
        api, "ActorsQuery", source={"kind": "InsightActorsQuery", **point, "breakdown": "free"},
        select=["id", "event_count"],
    )  # fmt: skip
    assert dict(listed["results"]) == {orders["ann"]: 1, orders["ben"]: 1}


WRONG = [
    ("", "This field is required.", None),
    ("nope(", None, None),
    ("sum(nope)", "Unable to resolve field: nope", (4, 8)),
    ("1", "The expression must be an aggregation", (0, 1)),
    ("properties.amount", "must stand inside of an aggregation", (0, 17)),
    ("e.event", "must stand inside of an aggregation", (0, 7)),
    ("count() + toFloat(properties.amount)", "must stand inside of an aggregation", (18, 35)),
    ("arrayMap(x -> event, groupArray(1))[1]", "must stand inside of an aggregation", (14, 19)),
    ("arrayJoin(groupArray(1))", "must stand inside of an aggregation", (0, 24)),
    ("(SELECT count() FROM events)", "The expression must be an aggregation", (1, 27)),
    ("sum(count())", "cannot be nested", (4, 11)),
    ("count() OVER ()", "Window functions cannot be used", (0, 15)),
    ("max(event)", "must be a number, and is of the type String", (0, 10)),
    ("max(timestamp)", "must be a number, and is of the type DateTime", (0, 14)),
    ("groupArray(1)", "must be a number, and is of the type Array", (0, 13)),
    ("avg(session.$session_duration)", "cannot use fields of other tables", (4, 29)),
    ("count() + (SELECT count() FROM system.tables)", "Unknown table `system.tables`", (31, 44)),
    ("count() + (SELECT count() FROM numbers(1000000000, team_id))", None, None),
    ("count() + (SELECT x FROM url('http://localhost'))", None, None),
    ("sum((event AS x) = '')", "An alias cannot be given here", None),
    ("count() SETTINGS max_threads = 1", None, None),
    ("*", "* cannot be used here", None),
    ("{filters} + count()", "placeholders", None),
    ("nonsense(1) + count()", "Unsupported function call 'nonsense(...)'", (0, 11)),
    ("countIf(person_id IN COHORT 7)", "Could not find a cohort with ID 7", (28, 29)),
    ("count() + " * 3000 + "1", None, None),
    ("(" * 2000 + "count()" + ")" * 2000, None, None),
]


@pytest.mark.parametrize(("expression", "message", "place"), WRONG, ids=range(len(WRONG)))
def test_wrong_expressions(api: Api, expression: str, message: str | None, place: tuple[int, int] | None) -> None:
    given = [*series("a"), *series("order", math="hogql", math_hogql=expression)]
    found = sent(api, {"kind": "TrendsQuery", "series": given, **MAY})
    body = found.json()
    assert found.status_code == 400, body
    assert message is None or message in body["detail"]
    assert "DB::" not in body["detail"]
    assert body["attr"].startswith("query__series__1__math_hogql")
    if place is not None:
        (problem,) = body["extra"]["hogql_metadata"]["errors"]
        assert (problem["start"], problem["end"]) == place
        assert body["extra"]["hogql_metadata"]["query"] == expression


@pytest.mark.parametrize(
    ("expression", "code"),
    [("intDiv(1, toInt(count() - 3))", "illegal_division"), ("any(arrayJoin([[1], [2]]))", None)],
)
def test_what_only_clickhouse_finds_is_the_callers_mistake(
    api: Api, orders: dict[str, str], expression: str, code: str | None
) -> None:
    given = series("order", math="hogql", math_hogql=expression)
    status, found, detail, _ = refusal(api, "TrendsQuery", series=given, **MAY)
    assert status == 400
    assert code in (None, found)
    assert "DB::" not in detail


NO_NUMBERS = [
    ("countState()", "AggregateFunction"),
    ("simpleLinearRegression(1, 2)", "Tuple"),
    ("any(arrayElement([(1, 2)], 1))", "Tuple"),
    ("uniqState(person.properties.city)", "AggregateFunction"),
]


@pytest.mark.parametrize(("expression", "kind"), NO_NUMBERS, ids=range(len(NO_NUMBERS)))
@pytest.mark.parametrize("node", [{}, TOTAL, EMPTY, {"breakdownFilter": {"breakdown": "plan"}}], ids=range(4))
def test_types_that_only_clickhouse_knows(
    api: Api, orders: dict[str, str], expression: str, kind: str, node: dict[str, Any]
) -> None:
    given = [*series("order"), *series("order", math="hogql", math_hogql=expression)]
    body = sent(api, {"kind": "TrendsQuery", "series": given, **MAY, **node}).json()
    assert body["detail"] == f"The aggregation must be a number, and is of the type {kind}."
    assert (body["type"], body["attr"]) == ("validation_error", "query__series__1__math_hogql")
    (problem,) = body["extra"]["hogql_metadata"]["errors"]
    assert (problem["start"], problem["end"]) == (0, len(expression))


@pytest.mark.parametrize("kind", ["StickinessQuery", "LifecycleQuery", "FunnelsQuery"])
def test_other_kinds_have_no_such_math(api: Api, kind: str) -> None:
    given = series("order", math="hogql", math_hogql="count()")
    status, _, detail, _ = refusal(api, kind, series=given, **MAY)
    assert (status, "math_hogql" in detail) == (400, True)


def test_no_rows_of_another_project(api: Api, stranger: Api, orders: dict[str, str]) -> None:
    expressions = (
        SUM, "max(toFloat(properties.amount))", "sum((SELECT max(toFloat(properties.amount)) FROM events))",
        "max(toFloat(properties.amount)) + (SELECT sum(toFloat(properties.amount)) FROM events AS e WHERE team_id > 0)",
    )  # fmt: skip
    for expression in expressions:
        for by in ({}, {"breakdownFilter": {"breakdown": "plan"}}):
            found = ask(api, expression, **by)
            assert all(number < THEIRS for one in found for number in one["data"]), expression
            assert all(one.get("breakdown_value") != "theirs" for one in found)
    assert ask(stranger, SUM)[0]["count"] == 3 * THEIRS
