"""HogQL in the filters, breakdowns and paths of insights as queries, and the actors behind their points."""

from typing import Any
from uuid import uuid4

import pytest

from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from tests.core.insights.asking import Capture, configure
from tests.core.persons.conftest import Api
from tests.core.query.asking import ALL, HOUR, NOON, answer, column, refusal
from tests.core.query.insights.support import series

pytestmark = pytest.mark.usefixtures("clickhouse")
MAY = {"dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-03"}}
NULL = "$$_posthog_breakdown_null_$$"
OTHER = "$$_posthog_breakdown_other_$$"
LARGE = {"type": "hogql", "key": "toFloat(properties.amount) > 5"}


@pytest.fixture
def orders(capture: Capture, stranger: Api) -> dict[str, str]:
    """Ann orders twice, Ben once, Cem without a plan; a neighbour's Ann orders too."""
    found = {}
    for number, (who, plan, amount) in enumerate(
        (("ann", "pro", 10), ("ann", "free", 2), ("ben", "free", 4), ("cem", None, 40))
    ):
        properties = {"amount": amount, **({"plan": plan} if plan else {})}
        person = capture(who, "order", timestamp=NOON + number * HOUR, properties=properties, set={"city": who[0]})
        found[who] = str(person.uuid)
    theirs = {"amount": 99, "plan": "theirs"}
    event = NewEvent(event="order", distinct_id="ann", uuid=uuid4(), timestamp=NOON, properties=theirs)
    events_ingest(team=IngestTeam(stranger.team.id), events=[event])
    return found


def counts(api: Api, **node: Any) -> dict[Any, float]:
    found = answer(api, "TrendsQuery", **{"series": series("order"), **MAY, **node})["results"]
    return {
        tuple(one["breakdown_value"]) if isinstance(one.get("breakdown_value"), list) else one.get("breakdown_value"):
        one["count"] for one in found
    }  # fmt: skip


def test_filters_of_queries_and_series(api: Api, orders: dict[str, str]) -> None:
    assert counts(api, properties=[LARGE]) == {None: 2}
    assert counts(api, series=series("order", properties=[LARGE, {"key": "plan", "value": "pro"}])) == {None: 1}
    configure(api, test_account_filters=[{"type": "hogql", "key": "person.properties.city != 'c'"}])
    assert counts(api, filterTestAccounts=True) == {None: 3}
    assert column(answer(api, "EventsQuery", select=["properties.amount"], filterTestAccounts=True, **ALL)) != []


@pytest.mark.parametrize(
    ("breakdown", "expected"),
    [
        ("properties.plan", {"pro": 1, "free": 2, NULL: 1}),
        ("upper(person.properties.city)", {"A": 2, "B": 1, "C": 1}),
        ("if(toFloat(properties.amount) > 5, 'large', 'small')", {"large": 2, "small": 2}),
        ("toInt(properties.amount) / 2", {"5": 1, "1": 1, "2": 1, "20": 1}),
    ],
)
def test_a_breakdown(api: Api, orders: dict[str, str], breakdown: str, expected: dict[str, int]) -> None:
    given = {"breakdown": breakdown, "breakdown_type": "hogql"}
    assert counts(api, breakdownFilter=given) == expected
    several = {"breakdowns": [{"property": breakdown, "type": "hogql"}]}
    assert counts(api, breakdownFilter=several) == {(value,): count for value, count in expected.items()}


def test_a_breakdown_by_hogql_and_by_a_property(api: Api, orders: dict[str, str]) -> None:
    both = [{"property": "lower(person.properties.city)", "type": "hogql"}, {"property": "plan", "type": "event"}]
    found = counts(api, breakdownFilter={"breakdowns": both})
    assert found == {("a", "pro"): 1, ("a", "free"): 1, ("b", "free"): 1, ("c", NULL): 1}


def test_bins_and_the_rest(api: Api, orders: dict[str, str]) -> None:
    given = {"breakdown": "toFloat(properties.amount)", "breakdown_type": "hogql", "breakdown_histogram_bin_count": 2}
    assert sum(counts(api, breakdownFilter=given).values()) == 4
    few = {"breakdown": "properties.plan", "breakdown_type": "hogql", "breakdown_limit": 1}
    assert counts(api, breakdownFilter=few) == {"free": 2, OTHER: 1, NULL: 1}


@pytest.mark.parametrize(
    ("value", "expected"), [("pro", ["ann"]), ("free", ["ann", "ben"]), (NULL, ["cem"]), (OTHER, ["ann"])]
)
def test_the_actors_of_a_value(api: Api, orders: dict[str, str], value: str, expected: list[str]) -> None:
    limited = {"breakdown_limit": 1} if value == OTHER else {}
    source = {
        "kind": "TrendsQuery", **MAY, "series": series("order"),
        "breakdownFilter": {"breakdown": "properties.plan", "breakdown_type": "hogql", **limited},
    }  # fmt: skip
    point = {"day": "2024-05-02", "series": 0, "breakdown": value}
    found = answer(api, "InsightActorsQuery", source=source, **point)
    assert sorted(column(found)) == sorted(orders[name] for name in expected)


def test_funnels_and_paths(api: Api, capture: Capture, orders: dict[str, str]) -> None:
    capture("ann", "pay", timestamp=NOON + 5 * HOUR)
    funnel = answer(
        api, "FunnelsQuery", series=series("order", "pay"), **MAY, properties=[],
        breakdownFilter={"breakdown": "upper(properties.plan)", "breakdown_type": "hogql"},
    )  # fmt: skip
    assert {tuple(steps[0]["breakdown_value"]): [one["count"] for one in steps] for steps in funnel["results"]} == {
        ("PRO",): [1, 1], ("FREE",): [1, 0], ("",): [1, 0]
    }  # fmt: skip
    filters = {"includeEventTypes": ["hogql"], "pathsHogQLExpression": "concat(event, ' ', properties.plan)"}
    edges = answer(api, "PathsQuery", pathsFilter=filters, dateRange=MAY["dateRange"])["results"]
    assert isinstance(edges, list)
    for kind in ("LifecycleQuery", "StickinessQuery"):
        assert answer(api, kind, series=series("order"), **MAY, properties=[LARGE])["results"]
    retention = {"targetEntity": {"id": "order"}, "returningEntity": {"id": "order"}, "period": "Day"}
    assert answer(api, "RetentionQuery", retentionFilter=retention, **MAY, properties=[LARGE])["results"]


@pytest.mark.parametrize("wrong", ["nope", "count()", "a b", "'" + "a" * 30_000 + "'"])
def test_wrong_expressions_are_refused_by_name(api: Api, wrong: str) -> None:
    filters = [{"type": "hogql", "key": wrong}]
    by = {"breakdown": wrong, "breakdown_type": "hogql"}
    paths = {"includeEventTypes": ["hogql"], "pathsHogQLExpression": wrong}
    given = {"series": series("order"), **MAY}
    for kind, node, attr in (
        ("TrendsQuery", {**given, "properties": filters}, "query__properties__0__key"),
        ("TrendsQuery", {"series": series("order", properties=filters)}, "query__series__0__properties__0__key"),
        ("TrendsQuery", {**given, "breakdownFilter": by}, "query__breakdownFilter__breakdown"),
        ("FunnelsQuery", {**given, "breakdownFilter": by}, "query__breakdownFilter__breakdown"),
        ("PathsQuery", {"pathsFilter": paths}, "query__pathsFilter__pathsHogQLExpression"),
    ):
        status, _, detail, found = refusal(api, kind, **node)
        assert (status, found) == (400, attr), (kind, detail)
        assert "DB::" not in detail


def test_what_only_clickhouse_finds_is_the_callers_mistake(api: Api, orders: dict[str, str]) -> None:
    wrong = [{"type": "hogql", "key": "intDiv(1, toInt(properties.amount) - 2) = 0"}]
    status, code, detail, _ = refusal(api, "TrendsQuery", series=series("order"), **MAY, properties=wrong)
    assert (status, code, detail) == (400, "illegal_division", "Division by zero.")
