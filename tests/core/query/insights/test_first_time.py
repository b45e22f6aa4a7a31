"""`first_time_for_user` and `first_matching_event_for_user` of trends, over HTTP and against a slow twin."""

from collections import Counter
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.query.runners.insights.actors import actor_rows
from core.query.runners.insights.trends import TrendsRunner
from tests.core.insights.asking import Capture
from tests.core.persons.conftest import Api
from tests.core.query.asking import DAY, HOUR, NOON, answer, refusal
from tests.core.query.insights.support import context, dated, series
from tests.support.calendar_streams import places
from tests.support.event_streams import Stream, StreamEvent, store

pytestmark = pytest.mark.usefixtures("db", "clickhouse")
FIRST_EVER, FIRST_MATCHING = MATHS = ("first_time_for_user", "first_matching_event_for_user")
MAY = {"dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-03"}}
PRO = [{"key": "plan", "type": "event", "operator": "exact", "value": ["pro"]}]
NULL = "$$_posthog_breakdown_null_$$"


@pytest.fixture
def orders(capture: Capture) -> dict[str, str]:
    """Ann ordered in April; Ben first free, then pro; Cem pro at once and again; Dia only looks."""
    found = {}
    for who, days, name, plan in (
        ("ann", -30, "order", "free"), ("ann", 0, "order", "pro"), ("ben", -1, "order", "free"),
        ("ben", 0, "order", "pro"), ("cem", 0, "view", "pro"), ("cem", 1, "order", "pro"), ("cem", 1, "order", "free"),
        ("dia", 0, "view", "free"),
    ):  # fmt: skip
        hours = HOUR if plan == "free" else 0 * HOUR
        person = capture(who, name, timestamp=NOON + DAY * days + hours, properties={"plan": plan})
        found[who] = str(person.uuid)
    return found


def trends(api: Api, math: str, *, event: str | None = "order", of_series: Any = (), **node: Any) -> list[Any]:
    """Return the numbers of each series."""
    given = series(event, math=math, properties=list(of_series))
    results = answer(api, "TrendsQuery", **{"series": given, **MAY, **node})["results"]
    return [one["data"] or one["aggregated_value"] for one in results]


@pytest.mark.usefixtures("orders")
def test_each_person_counts_once(api: Api) -> None:
    for math in MATHS:
        assert trends(api, math) == [[1, 0, 1]]
        assert trends(api, math, trendsFilter={"display": "BoldNumber"}) == [2]
        assert trends(api, math, trendsFilter={"display": "ActionsLineGraphCumulative"}) == [[1, 1, 2]]
        # Any event: those of Ann and Cem before they ordered too.
        assert trends(api, math, event=None) == [[1, 2, 0]]
        assert trends(api, math, event=None, dateRange={"date_from": "2024-04-01", "date_to": "2024-04-03"}) == [
            [0, 1, 0]
        ]


@pytest.mark.usefixtures("orders")
def test_filters_of_the_first_event_and_the_first_that_passes_them(api: Api) -> None:
    for filters in ({"of_series": PRO}, {"properties": PRO}):
        assert trends(api, FIRST_EVER, **filters) == [[0, 0, 1]]
        assert trends(api, FIRST_MATCHING, **filters) == [[0, 2, 1]]


@pytest.mark.usefixtures("orders")
def test_actions(api: Api) -> None:
    made = api.client.post(
        f"/api/projects/{api.team.id}/actions/",
        {"name": "Any", "steps": [{"event": "order"}, {"event": "view"}]}, content_type="application/json",
    ).json()["id"]  # fmt: skip
    nodes = [{"kind": "ActionsNode", "id": made, "math": math} for math in MATHS]
    found = answer(api, "TrendsQuery", series=nodes, **MAY)["results"]
    assert [one["data"] for one in found] == [[1, 2, 0]] * 2


def test_who_they_are_and_their_values(api: Api, orders: dict[str, str]) -> None:
    for math, plan, day, names in (
        (FIRST_EVER, None, "2024-05-01", ["ben"]), (FIRST_EVER, None, "2024-05-02", []),
        (FIRST_EVER, "pro", "2024-05-03", ["cem"]), (FIRST_EVER, "free", "2024-05-03", []),
        (FIRST_MATCHING, "pro", "2024-05-03", ["cem"]), (FIRST_MATCHING, "free", "2024-05-01", ["ben"]),
        (FIRST_MATCHING, "pro", "2024-05-02", []),
    ):  # fmt: skip
        source = {
            "kind": "TrendsQuery", "series": series("order", math=math), **MAY,
            **({} if plan is None else {"breakdownFilter": {"breakdown": "plan"}}),
        }  # fmt: skip
        point = {"source": source, "day": day, **({} if plan is None else {"breakdown": plan})}
        found = answer(api, "InsightActorsQuery", **point)["results"]
        assert found == [[orders[name], 1] for name in names], (math, plan, day)


def test_recordings_are_of_the_first_event_alone(api: Api, capture: Capture) -> None:
    for minutes, session in enumerate(("one", "two")):
        capture("ann", "order", timestamp=NOON + timedelta(minutes=minutes), properties={"$session_id": session})
    node = {"kind": "TrendsQuery", "series": series("order", math=FIRST_EVER), **MAY}
    source = {"kind": "InsightActorsQuery", "source": node, "day": "2024-05-02", "includeRecordings": True}
    found = answer(api, "ActorsQuery", source=source, select=["actor", "matched_recordings"])
    assert len(found["results"]) == 1
    rows = actor_rows(source, context(api.team.id)).rows
    assert [[event.session_id for event in row.events] for row in rows] == [["one"]]


@pytest.mark.usefixtures("orders")
def test_it_is_a_math_of_trends_alone(api: Api) -> None:
    for math in MATHS:
        status, _, detail, _ = refusal(api, "StickinessQuery", series=series("order", math=math))
        assert (status, detail) == (400, f"Not supported: the math {math}.")
    _, _, detail, _ = refusal(api, "TrendsQuery", series=series("order", math="maths"))
    assert all(repr(math) in detail for math in MATHS)


def events_with_plans() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"plan": st.sampled_from([None, "pro", "pro", "free"])})


def passes(event: StreamEvent) -> bool:
    return bool(event.properties["plan"] == "pro")


def firsts(stream: Stream, math: str, *, filtered: bool) -> dict[str, StreamEvent]:
    """Return the event that each person counts with."""
    found = {}
    for actor, events in stream.by_actor().items():
        some = [one for one in events if one.event == "a"]
        matching = [one for one in some if passes(one) or not filtered]
        if matching and (math == FIRST_MATCHING or matching[0].timestamp == some[0].timestamp):
            found[actor] = matching[0]
    return found


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    world=places(properties=events_with_plans(), names=("a", "a", "b"), max_events=40),
    math=st.sampled_from(MATHS), filtered=st.booleans(), broken=st.booleans(), total=st.booleans(),
    delay=st.integers(0, 6), of_series=st.booleans(),
)  # fmt: skip
def test_every_data_point_and_its_persons(
    clickhouse: ModuleType, world: tuple[str, str, datetime, Stream], math: str, delay: int, *, filtered: bool,
    broken: bool, total: bool, of_series: bool,
) -> None:  # fmt: skip
    zone, interval, begun, stream = world
    since = begun + timedelta(days=delay)
    own = PRO if filtered and of_series else []
    node: dict[str, Any] = {
        "kind": "TrendsQuery", "interval": interval, **dated(since, since + timedelta(days=5)),
        "series": series("a", math=math, properties=own), "properties": PRO if filtered and not of_series else [],
        "trendsFilter": {"display": "BoldNumber" if total else "ActionsLineGraph"},
    }  # fmt: skip
    if broken:
        node["breakdownFilter"] = {"breakdown": "plan"}
    asked = context(store(stream), zone=zone)
    runner = TrendsRunner(node, asked)
    spans = runner.variants[0].spans
    ranges = [(spans[0].since, spans[-1].until)] if total else [(one.since, one.until) for one in spans]
    expected: dict[str | None, list[set[str]]] = {} if broken else {None: [set() for _ in ranges]}
    for actor, event in firsts(stream, math, filtered=filtered).items():
        value = (event.properties["plan"] or NULL) if broken else None
        for place, (first, last) in enumerate(ranges):
            if first <= event.timestamp <= last:
                expected.setdefault(value, [set() for _ in ranges])[place].add(actor)
    found = {
        one.get("breakdown_value"): [one["aggregated_value"]] if total else one["data"]
        for one in runner.run()["results"]
    }
    assert found == {value: [len(actors) for actors in points] for value, points in expected.items()}
    for value, points in expected.items():
        for place, actors in enumerate(points):
            point = {"kind": "InsightActorsQuery", "source": node, **({"breakdown": value} if broken else {})}
            if not total:
                point["day"] = spans[place].start.isoformat()
            rows = actor_rows(point, asked).rows
            assert Counter(row.actor for row in rows) == Counter(actors)
