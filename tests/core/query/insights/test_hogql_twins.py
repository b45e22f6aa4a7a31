"""HogQL as the math of trends and as the actors of funnels, over HTTP, against plain loops over the same events."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import median
from types import ModuleType
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.query.runners.insights.funnels import FunnelsRunner
from core.query.runners.insights.trends import TrendsRunner
from tests.core.persons.conftest import Api, make_api
from tests.core.query.asking import answer
from tests.core.query.insights.support import context, dated, series
from tests.core.query.insights.test_funnels_twin import ORDERS, WINDOWS, asked_node, check_steps, oracle
from tests.core.query.insights.test_trends_twin import NULL, OTHER, considered, plan_of, properties
from tests.factories import make_team
from tests.support import funnel_oracle
from tests.support.calendar_streams import places
from tests.support.event_streams import DISTINCT_IDS, PERSONS, Stream, StreamEvent, store
from tests.support.funnel_oracle import Divided, Wanted

pytestmark = pytest.mark.usefixtures("db", "clickhouse")
SOME = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

type Events = Sequence[tuple[str, StreamEvent]]
type World = tuple[str, str, datetime, Stream]


def amounts(events: Events) -> list[float]:
    texts = [str(event.properties["amount"]) for _, event in events]
    return [float(text) for text in texts if text not in ("None", "much")]


def of_amounts(function: Callable[[list[float]], float]) -> Callable[[Events], float | None]:
    return lambda events: function(amounts(events)) if amounts(events) else None


def seconds(events: Events) -> float:
    moments = [int(event.timestamp.timestamp()) for _, event in events]
    return max(moments, default=0) - min(moments, default=0)


# What is no number is 0.
AGGREGATIONS: Final[dict[str, Callable[[Events], float | None]]] = {
    "count() * 2 + 1": lambda events: len(events) * 2 + 1,
    "sum(toFloat(properties.amount))": of_amounts(sum),
    "min(toFloat(e.properties.amount))": of_amounts(min),
    "avg(toFloat(properties.amount))": of_amounts(lambda found: sum(found) / len(found)),
    "count(DISTINCT person_id)": lambda events: len({actor for actor, _ in events}),
    "count(DISTINCT $session_id)": lambda events: len({event.properties["$session_id"] for _, event in events}),
    "countIf(properties.plan = 'pro') / count()": lambda events: (
        sum(event.properties["plan"] == "pro" for _, event in events) / len(events) if events else None
    ),
    "count() FILTER (WHERE event = 'b') - length(groupUniqArray(distinct_id))": lambda events: (
        sum(event.event == "b" for _, event in events) - len({event.distinct_id for _, event in events})
    ),
    "dateDiff('second', min(timestamp), max(timestamp))": seconds,
}


def project(stream: Stream, zone: str, week_start: int) -> Api:
    """Return a project in whose past the stream lies."""
    api = make_api(make_team(timezone=zone, week_start_day=week_start))
    store(stream, team_id=api.team.id)
    return api


@SOME
@given(
    world=places(properties=properties(), names=("a", "a", "b"), max_events=30),
    expression=st.sampled_from(sorted(AGGREGATIONS)),
    display=st.sampled_from(["ActionsLineGraph", "ActionsLineGraphCumulative", "BoldNumber"]),
    limit=st.sampled_from([None, 1, 2]),
    name=st.sampled_from(["a", None]),
    week_start=st.sampled_from([0, 1]),
)
def test_an_aggregation_of_every_interval_and_value(
    clickhouse: ModuleType, world: World, expression: str, display: str, limit: int | None, name: str | None,
    week_start: int,
) -> None:  # fmt: skip
    zone, interval, begun, stream = world
    api = project(stream, zone, week_start)
    node = {
        "interval": interval, **dated(begun, begun + timedelta(days=9)),
        "series": series(name, math="hogql", math_hogql=expression), "trendsFilter": {"display": display},
    }  # fmt: skip
    if limit is not None:
        node["breakdownFilter"] = {"breakdown": "plan", "breakdown_limit": limit}
    results = answer(api, "TrendsQuery", **node)["results"]
    runner = TrendsRunner({"kind": "TrendsQuery", **node}, context(api.team.id, zone=zone, week_start=week_start))
    spans = [(span.since, span.until) for span in runner.variants[0].spans]
    total = display == "BoldNumber"
    reach = [(spans[0][0], spans[-1][1])] if total else spans
    inside = [
        one for one in considered(stream, {"a"} if name else {"a", "b"})
        if spans[0][0] <= one[1].timestamp <= spans[-1][1]
    ]  # fmt: skip
    expected = {
        value: points(AGGREGATIONS[expression], some, reach, total=total and limit is None)
        for value, some in valued(inside, limit).items()
    }
    if display == "ActionsLineGraphCumulative":
        expected = {value: [sum(all_[: place + 1]) for place in range(len(all_))] for value, all_ in expected.items()}
    found = {one.get("breakdown_value"): [one["aggregated_value"]] if total else one["data"] for one in results}
    assert set(found) == set(expected)
    for value, numbers in expected.items():
        assert found[value] == pytest.approx(numbers)


def valued(events: Events, limit: int | None) -> dict[str | None, Events]:
    """Return the events of each value of the breakdown, None where there is none."""
    if limit is None:
        return {None: events}
    of_value: dict[str, list[tuple[str, StreamEvent]]] = defaultdict(list)
    for one in events:
        of_value[plan_of(one[1])].append(one)
    ranked = sorted(set(of_value) - {NULL}, key=lambda value: (-len(of_value[value]), value))
    shown: dict[str | None, list[tuple[str, StreamEvent]]] = defaultdict(list)
    for one in events:
        value = plan_of(one[1])
        shown[value if value in {NULL, *ranked[:limit]} else OTHER].append(one)
    return dict(shown)


def points(
    twin: Callable[[Events], float | None], events: Events, reach: Sequence[tuple[datetime, datetime]], *, total: bool
) -> list[float]:
    """Return a number for each interval; one without events is 0, unless nothing at all is aggregated."""
    within = [[one for one in events if first <= one[1].timestamp <= last] for first, last in reach]
    return [(twin(some) or 0) if some or total else 0 for some in within]


SESSIONS = st.fixed_dictionaries(
    {
        "$session_id": st.sampled_from(["", None, "s1", "s1", "s2", "s3"]),
        "plan": st.sampled_from(["", "pro", "free", None]),
    }
)
BY: Final = {"properties.$session_id": "$session_id", "nullIf(e.properties.plan, '')": "plan", "person_id": None}


def funnel_of(
    world: World, node: dict[str, Any], *, order: str, window: tuple[int, str], by: str, steps: tuple[str, ...]
) -> tuple[Api, FunnelsRunner, funnel_oracle.Funnel]:
    zone, _, _, stream = world
    api = project(stream, zone, 0)
    runner = FunnelsRunner(node, context(api.team.id, zone=zone))
    return api, runner, replace(oracle(runner, order, window, steps), group=BY[by])


@SOME
@given(
    world=places(properties=SESSIONS, max_events=40), order=ORDERS, window=WINDOWS, by=st.sampled_from(sorted(BY)),
    steps=st.sampled_from([("a", "b"), ("a", "a"), ("b", "a", "b")]), excluding=st.booleans(),
    attribution=st.sampled_from([None, "first_touch", "all_events"]),
)  # fmt: skip
def test_steps_of_values_and_who_they_are(
    clickhouse: ModuleType, world: World, order: str, window: tuple[int, str], by: str, steps: tuple[str, ...],
    attribution: str | None, *, excluding: bool,
) -> None:  # fmt: skip
    last = len(steps) - 1
    shown: dict[str, Any] = {"funnelAggregateByHogQL": by}
    if excluding:
        exclusion = {"kind": "EventsNode", "event": "c", "funnelFromStep": 0, "funnelToStep": last}
        shown["exclusions"] = [exclusion]
    more: dict[str, Any] = {}
    if attribution is not None:
        shown["breakdownAttributionType"] = attribution
        more["breakdownFilter"] = {"breakdown": "plan"}
    node = asked_node(order, window, steps, world[2], **more, funnelsFilter=shown)
    api, _, funnel = funnel_of(world, node, order=order, window=window, by=by, steps=steps)
    if excluding:
        funnel = replace(funnel, exclusions=((Wanted(frozenset({"c"}), "c"), 0, last),))
    if attribution is not None:
        funnel = replace(funnel, breakdown=Divided(("plan",), attribution))
    chains: dict[Any, dict[str, Any]] = defaultdict(dict)
    for (actor, value), chain in funnel_oracle.answer(funnel, world[3]).items():
        chains[value][actor] = chain
    results = answer(api, **node)["results"]
    found = {None: results} if attribution is None else {tuple(one[0]["breakdown_value"]): one for one in results}
    assert set(found) == set(chains) or (attribution is None and not chains)
    for value, items in found.items():
        check_steps(items, list(chains[value].values()))
        for number in range(1, len(steps) + 1):
            point = {"funnelStep": number, **({} if value is None else {"funnelStepBreakdown": list(value)})}
            listed = answer(api, "FunnelsActorsQuery", source=node, **point)["results"]
            assert {row[0] for row in listed} == {actor for actor, (did, _) in chains[value].items() if did >= number}


@SOME
@given(
    world=places(properties=SESSIONS, names=("a", "a", "b"), max_events=40), order=ORDERS, window=WINDOWS,
    by=st.sampled_from(sorted(BY)),
)  # fmt: skip
def test_times_and_conversion_of_values(
    clickhouse: ModuleType, world: World, order: str, window: tuple[int, str], by: str
) -> None:
    shown = {"funnelVizType": "time_to_convert", "funnelAggregateByHogQL": by}
    more = {"interval": world[1], **dated(world[2], world[2] + timedelta(days=9))}
    node = asked_node(order, window, ("a", "b"), world[2], funnelsFilter=shown, **more)
    api, _, funnel = funnel_of(world, node, order=order, window=window, by=by, steps=("a", "b"))
    chains = funnel_oracle.answer(funnel, world[3]).values()
    took = [(times[1] - times[0]).total_seconds() for did, times in chains if did > 1]
    found = answer(api, **node)["results"]
    assert sum(count for _, count in found["bins"]) == len(took)
    assert found["median_conversion_time"] == (pytest.approx(median(took), abs=1e-6) if took else None)

    node["funnelsFilter"] = {**node["funnelsFilter"], "funnelVizType": "trends"}
    runner = FunnelsRunner(node, context(api.team.id, zone=world[0]))
    ends = [span.start for span in runner.spans[1:]] + [runner.dates.until + timedelta(days=40)]
    rates = []
    for span, end in zip(runner.spans, ends, strict=True):
        entered = funnel_oracle.answer(replace(funnel, entrance=(span.start, end)), world[3]).values()
        converted = sum(did > 1 for did, _ in entered)
        rates.append(round(100 * converted / len(entered), 2) if entered else 0)
    (shown_rates,) = answer(api, **node)["results"]
    assert shown_rates["data"] == rates


def test_an_event_is_of_whoever_owns_it_now(clickhouse: ModuleType) -> None:
    moment = datetime(2024, 5, 2, 12, tzinfo=UTC)
    events = tuple(
        StreamEvent(UUID(int=number), name, distinct_id, moment + timedelta(hours=number))
        for number, (name, distinct_id) in enumerate([("a", DISTINCT_IDS[0]), ("b", DISTINCT_IDS[1])])
    )
    created = dict.fromkeys(PERSONS, moment)
    for moved, owners, converted in (({}, 2, 0), ({DISTINCT_IDS[1]: PERSONS[0]}, 1, 1)):
        api = project(Stream(events, moved, frozenset(), created), "UTC", 0)
        node = dated(moment, moment + timedelta(days=1))
        for expression in ("count(DISTINCT person_id)", "count(DISTINCT e.person.id)"):
            given = series(None, math="hogql", math_hogql=expression)
            assert answer(api, "TrendsQuery", series=given, **node)["results"][0]["count"] == owners
        shown = {"funnelAggregateByHogQL": "concat('of ', toString(person_id))"}
        found = answer(api, "FunnelsQuery", series=series("a", "b"), funnelsFilter=shown, **node)["results"]
        assert [one["count"] for one in found] == [1, converted]
